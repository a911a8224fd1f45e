#include "model/gguf.h"

#include <algorithm>
#include <cstdio>
#include <numeric>
#include <type_traits>

#include "model/byte_reader.h"
#include "model/checked.h"
#include "model/error.h"
#include "model/gguf_part.h"
#include "model/mapped_file.h"

namespace tandem::model {
namespace {

constexpr std::uint64_t kMaxParts = 99'999;  // five digits in the file name

/// Throws BadModel at the value of `key`, at the start of the file if it is absent.
[[noreturn]] void fail_at(const Header& header, std::string_view key, const std::string& problem) {
  const auto* entry = header.find(key);
  throw BadModel(header.name, entry == nullptr ? 0 : entry->offset_bytes, std::string(key), problem);
}

template <typename T>
std::string kind_of(const T& value) {
  if constexpr (std::is_same_v<T, bool>) return "a bool";
  if constexpr (std::is_same_v<T, std::string_view>) return "a string";
  if constexpr (std::is_same_v<T, MetaArray>) {
    return "an array of " + std::string(meta_type_name(value.element())) +
           (value.element() == MetaType::string ? "s" : "");
  }
  if constexpr (std::is_floating_point_v<T>) return "a float";
  return "an integer";
}

[[noreturn]] void fail_kind(const Header& header, std::string_view key, std::string_view expected) {
  const auto found = std::visit([](const auto& value) { return kind_of(value); }, header.find(key)->value);
  fail_at(header, key, "is " + found + ", expected " + std::string(expected));
}

/// The array called `key`, decoded by `decode`; nothing if the key is absent.
template <typename T>
std::optional<std::vector<T>> find_array(const Header& header, std::string_view key,
                                         std::string_view expected,
                                         std::optional<std::vector<T>> (MetaArray::*decode)() const) {
  const auto* entry = header.find(key);
  if (entry == nullptr) return std::nullopt;
  const auto* array = std::get_if<MetaArray>(&entry->value);
  if (array == nullptr) fail_kind(header, key, expected);
  auto decoded = (array->*decode)();
  if (!decoded) fail_kind(header, key, expected);
  return decoded;
}

/// What split.* says of one part; `count` is 1 for a model that is not split.
struct SplitInfo {
  std::uint64_t no = 0;
  std::uint64_t count = 1;
  std::optional<std::uint64_t> tensors;
};

SplitInfo split_info(const Header& part) {
  SplitInfo split;
  split.count = part.find_uint("split.count").value_or(1);
  if (split.count < 1 || split.count > kMaxParts) {
    fail_at(part, "split.count", std::to_string(split.count) + " parts, limits are 1 and 99999");
  }
  split.no = part.find_uint("split.no").value_or(0);
  if (split.no >= split.count) {
    fail_at(part, "split.no", std::to_string(split.no) + " of " + std::to_string(split.count) + " parts");
  }
  split.tensors = part.find_uint("split.tensors.count");
  return split;
}

/// "-00001-of-00003.gguf", numbered from 1 in names and from 0 in split.no.
std::string part_suffix(std::uint64_t no, std::uint64_t count) {
  std::array<char, 32> suffix{};
  std::snprintf(suffix.data(), suffix.size(), "-%05u-of-%05u.gguf", static_cast<unsigned>(no + 1),
                static_cast<unsigned>(count));
  return suffix.data();
}

std::filesystem::path part_path(const Header& first, std::uint64_t no, std::uint64_t count) {
  const auto suffix = part_suffix(0, count);
  auto name = first.parts[0].path.filename().string();
  if (!name.ends_with(suffix)) {
    fail_at(first, "split.count",
            "part 1 of " + std::to_string(count) + " must have a name that ends in " + suffix);
  }
  name.resize(name.size() - suffix.size());
  return first.parts[0].path.parent_path() / (name + part_suffix(no, count));
}

/// Sums and the index by name, once all parts are there.
void finish(Header& header) {
  header.tensors_by_name.resize(header.tensors.size());
  std::iota(header.tensors_by_name.begin(), header.tensors_by_name.end(), 0);
  std::sort(
      header.tensors_by_name.begin(), header.tensors_by_name.end(),
      [&](std::uint32_t a, std::uint32_t b) { return header.tensors[a].name < header.tensors[b].name; });
  for (std::size_t i = 1; i < header.tensors_by_name.size(); ++i) {
    const auto& tensor = header.tensors[header.tensors_by_name[i]];
    if (tensor.name == header.tensors[header.tensors_by_name[i - 1]].name) {
      throw BadModel(header.file_of(tensor), tensor.offset_bytes, "tensor " + printable(tensor.name),
                     "name occurs twice in the directory");
    }
  }
  header.tensor_bytes = 0;
  header.missing_bytes = 0;
  for (const auto& tensor : header.tensors) {
    const auto total = checked_add(header.tensor_bytes, tensor.size_bytes);
    if (!total) {
      throw BadModel(header.file_of(tensor), tensor.offset_bytes, "tensor " + printable(tensor.name),
                     "all tensors together exceed the limit of 2^64 - 1 bytes");
    }
    header.tensor_bytes = *total;
    const auto end = tensor.offset_bytes + tensor.size_bytes;
    const std::uint64_t file_bytes = header.parts[tensor.part].bytes.size();
    if (end > file_bytes) header.missing_bytes += std::min(tensor.size_bytes, end - file_bytes);
  }
}

/// One file as a header of its own, sums and index left for `finish`.
Header open_part(std::string name, const std::filesystem::path& path, std::span<const std::byte> bytes,
                 std::shared_ptr<const void> storage) {
  auto part = parse_gguf_part(name, bytes);
  Header header;
  header.name = std::move(name);
  header.metadata = std::move(part.metadata);
  header.tensors = std::move(part.tensors);
  header.parts.push_back({path, bytes, nullptr});
  header.storage = std::move(storage);
  return header;
}

Header open_file(const std::filesystem::path& path) {
  auto file = std::make_shared<const MappedFile>(path);
  auto header = open_part(path.string(), path, file->bytes(), file);
  header.parts[0].file = std::move(file);
  return header;
}

void append_part(Header& header, Header&& part) {
  for (auto& tensor : part.tensors) {
    tensor.part = static_cast<std::uint32_t>(header.parts.size());
    header.tensors.push_back(std::move(tensor));
  }
  header.parts.push_back(std::move(part.parts[0]));
}

void read_later_parts(Header& header, const SplitInfo& first) {
  if (first.no != 0) {
    fail_at(header, "split.no",
            "part " + std::to_string(first.no + 1) + " of a split model; give the first part");
  }
  auto storage = std::make_shared<std::vector<std::shared_ptr<const void>>>();
  storage->push_back(header.storage);
  for (std::uint64_t no = 1; no < first.count; ++no) {
    auto part = open_file(part_path(header, no, first.count));
    const auto split = split_info(part);
    if (split.count != first.count) {
      fail_at(part, "split.count",
              std::to_string(split.count) + ", part 1 says " + std::to_string(first.count));
    }
    if (split.no != no) {
      fail_at(part, "split.no", std::to_string(split.no) + ", expected " + std::to_string(no));
    }
    storage->push_back(part.storage);
    append_part(header, std::move(part));
  }
  header.storage = std::move(storage);
  if (first.tensors && *first.tensors != header.tensors.size()) {
    fail_at(header, "split.tensors.count",
            std::to_string(*first.tensors) + ", the parts have " + std::to_string(header.tensors.size()));
  }
}

}  // namespace

const TensorInfo* Header::find_tensor(std::string_view tensor_name) const noexcept {
  const auto found = std::lower_bound(
      tensors_by_name.begin(), tensors_by_name.end(), tensor_name,
      [&](std::uint32_t index, std::string_view wanted) { return tensors[index].name < wanted; });
  if (found == tensors_by_name.end() || tensors[*found].name != tensor_name) return nullptr;
  return &tensors[*found];
}

const MetaEntry* Header::find(std::string_view key) const noexcept {
  const auto found = metadata.find(key);
  return found == metadata.end() ? nullptr : &found->second;
}

std::optional<std::uint64_t> Header::find_uint(std::string_view key) const {
  const auto* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<std::uint64_t>(&entry->value)) return *value;
  const auto* value = std::get_if<std::int64_t>(&entry->value);
  if (value == nullptr) fail_kind(*this, key, "an unsigned integer");
  if (*value < 0) fail_at(*this, key, std::to_string(*value) + " is negative");
  return static_cast<std::uint64_t>(*value);
}

std::optional<double> Header::find_number(std::string_view key) const {
  const auto* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  if (const auto* value = std::get_if<double>(&entry->value)) return *value;
  if (const auto* value = std::get_if<std::uint64_t>(&entry->value)) return static_cast<double>(*value);
  const auto* value = std::get_if<std::int64_t>(&entry->value);
  if (value == nullptr) fail_kind(*this, key, "a number");
  return static_cast<double>(*value);
}

std::optional<bool> Header::find_bool(std::string_view key) const {
  const auto* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  const auto* value = std::get_if<bool>(&entry->value);
  if (value == nullptr) fail_kind(*this, key, "a bool");
  return *value;
}

std::optional<std::string_view> Header::find_string(std::string_view key) const {
  const auto* entry = find(key);
  if (entry == nullptr) return std::nullopt;
  const auto* value = std::get_if<std::string_view>(&entry->value);
  if (value == nullptr) fail_kind(*this, key, "a string");
  return *value;
}

std::optional<std::vector<std::string_view>> Header::find_strings(std::string_view key) const {
  return find_array(*this, key, "an array of strings", &MetaArray::strings);
}

std::optional<std::vector<std::int64_t>> Header::find_integers(std::string_view key) const {
  return find_array(*this, key, "an array of integers", &MetaArray::integers);
}

std::optional<std::vector<double>> Header::find_numbers(std::string_view key) const {
  return find_array(*this, key, "an array of numbers", &MetaArray::numbers);
}

std::optional<std::vector<bool>> Header::find_booleans(std::string_view key) const {
  return find_array(*this, key, "an array of bools", &MetaArray::booleans);
}

std::string Header::file_of(const TensorInfo& tensor) const {
  const auto& path = parts[tensor.part].path;
  return path.empty() ? name : path.string();
}

bool Header::has_data(const TensorInfo& tensor) const noexcept {
  return tensor.offset_bytes + tensor.size_bytes <= parts[tensor.part].bytes.size();
}

std::span<const std::byte> Header::data(const TensorInfo& tensor) const {
  const auto& part = parts[tensor.part];
  if (!has_data(tensor)) {
    throw BadModel(file_of(tensor), tensor.offset_bytes, "tensor " + printable(tensor.name),
                   "data ends at byte " + std::to_string(tensor.offset_bytes + tensor.size_bytes) +
                       ", the file at byte " + std::to_string(part.bytes.size()),
                   "the file is incomplete: it can be planned, not loaded");
  }
  return part.bytes.subspan(tensor.offset_bytes, tensor.size_bytes);
}

void Header::read(const TensorInfo& tensor, std::uint64_t at, std::span<std::byte> to) const {
  const auto& part = parts[tensor.part];
  if (part.file != nullptr) return part.file->read(tensor.offset_bytes + at, to);
  std::ranges::copy(data(tensor).subspan(at, to.size()), to.begin());
}

void Header::check_unchanged() const {
  for (const auto& part : parts) {
    if (part.file != nullptr) part.file->check_unchanged();
  }
}

Header read_header(const std::filesystem::path& path) {
  auto header = open_file(path);
  const auto split = split_info(header);
  if (split.count > 1) read_later_parts(header, split);
  finish(header);
  return header;
}

Header parse_header(std::string name, std::span<const std::byte> bytes, std::shared_ptr<const void> storage) {
  auto header = open_part(std::move(name), {}, bytes, std::move(storage));
  finish(header);
  return header;
}

}  // namespace tandem::model
