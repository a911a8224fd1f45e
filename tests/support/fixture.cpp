#include "tests/support/fixture.h"

#include <bit>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>

namespace tandem::test_support {
namespace {

static_assert(std::endian::native == std::endian::little, "fixtures are little-endian and read as they are");

constexpr std::string_view kMagic = "TANDEMFX";
constexpr uint32_t kVersion = 1;
constexpr uint32_t kMaxRank = 4;

/// Takes values off the front of a file's bytes; names file and offset when they run out.
class Cursor {
 public:
  Cursor(std::string path, std::span<const char> bytes) : path_(std::move(path)), bytes_(bytes) {}

  std::span<const char> take(size_t count) {
    if (count > bytes_.size() - offset_) fail("cut off");
    const auto taken = bytes_.subspan(offset_, count);
    offset_ += count;
    return taken;
  }

  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string text(size_t length) {
    const auto bytes = take(length);
    return {bytes.begin(), bytes.end()};
  }

  template <typename T>
  std::vector<T> array(size_t count) {
    if (count > std::numeric_limits<size_t>::max() / sizeof(T)) fail("array too large");
    const auto bytes = take(count * sizeof(T));
    std::vector<T> values(count);
    if (count != 0) std::memcpy(values.data(), bytes.data(), bytes.size());
    return values;
  }

  bool at_end() const { return offset_ == bytes_.size(); }

  [[noreturn]] void fail(std::string_view what) const {
    throw std::runtime_error(path_ + ": offset " + std::to_string(offset_) + ": " + std::string(what));
  }

 private:
  std::string path_;
  std::span<const char> bytes_;
  size_t offset_ = 0;
};

std::vector<char> read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path.string() + ": cannot be opened");
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<size_t> read_dims(Cursor& cursor) {
  const auto rank = cursor.number<uint32_t>();
  if (rank > kMaxRank) cursor.fail("rank " + std::to_string(rank) + " is over " + std::to_string(kMaxRank));
  std::vector<size_t> dims(rank);
  for (size_t& dim : dims) dim = cursor.number<uint64_t>();
  return dims;
}

size_t element_count(const Cursor& cursor, const std::vector<size_t>& dims) {
  size_t count = 1;
  for (const size_t dim : dims) {
    if (__builtin_mul_overflow(count, dim, &count)) cursor.fail("array too large");
  }
  return count;
}

}  // namespace

std::filesystem::path source_path(std::string_view name) {
  const char* elsewhere = std::getenv("TANDEM_SOURCE_DIR");
  return std::filesystem::path(elsewhere != nullptr ? elsewhere : TANDEM_SOURCE_DIR) / name;
}

std::filesystem::path reference_path(std::string_view name) {
  return source_path("tests/reference/data") / name;
}

Fixture Fixture::load(const std::filesystem::path& path) {
  const std::vector<char> bytes = read_file(path);
  Cursor cursor(path.string(), bytes);
  if (cursor.text(kMagic.size()) != kMagic) cursor.fail("not a fixture container");
  if (cursor.number<uint32_t>() != kVersion) cursor.fail("not version 1");

  Fixture fixture;
  fixture.path_ = path.string();
  const auto count = cursor.number<uint32_t>();
  for (uint32_t i = 0; i < count; ++i) {
    const std::string name = cursor.text(cursor.number<uint32_t>());
    const auto type = cursor.number<uint32_t>();
    Array array;
    array.dims = read_dims(cursor);
    const size_t elements = element_count(cursor, array.dims);
    switch (type) {
      case 0:
        array.values = cursor.array<uint8_t>(elements);
        break;
      case 1:
        array.values = cursor.array<int32_t>(elements);
        break;
      case 2:
        array.values = cursor.array<float>(elements);
        break;
      default:
        cursor.fail("unknown element type " + std::to_string(type));
    }
    if (!fixture.arrays_.emplace(name, std::move(array)).second) cursor.fail("two arrays named " + name);
  }
  if (!cursor.at_end()) cursor.fail("bytes after the last array");
  return fixture;
}

std::vector<std::string> Fixture::names() const {
  std::vector<std::string> names;
  for (const auto& [name, array] : arrays_) names.push_back(name);
  return names;
}

bool Fixture::contains(std::string_view name) const {
  return arrays_.find(name) != arrays_.end();
}

const std::vector<size_t>& Fixture::dims(std::string_view name) const {
  return find(name).dims;
}

std::span<const uint8_t> Fixture::u8(std::string_view name) const {
  return values<uint8_t>(name);
}
std::span<const int32_t> Fixture::i32(std::string_view name) const {
  return values<int32_t>(name);
}
std::span<const float> Fixture::f32(std::string_view name) const {
  return values<float>(name);
}

size_t Fixture::row_count(std::string_view name) const {
  return i32(std::string(name) + "_end").size();
}

std::span<const int32_t> Fixture::i32_row(std::string_view name, size_t index) const {
  return row<int32_t>(name, index);
}

std::string_view Fixture::text_row(std::string_view name, size_t index) const {
  const auto bytes = row<uint8_t>(name, index);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

const Fixture::Array& Fixture::find(std::string_view name) const {
  const auto found = arrays_.find(name);
  if (found == arrays_.end()) throw std::runtime_error(path_ + ": no array named " + std::string(name));
  return found->second;
}

template <typename T>
std::span<const T> Fixture::values(std::string_view name) const {
  const auto* values = std::get_if<std::vector<T>>(&find(name).values);
  if (values == nullptr)
    throw std::runtime_error(path_ + ": " + std::string(name) + " has another element type");
  return *values;
}

template <typename T>
std::span<const T> Fixture::row(std::string_view name, size_t index) const {
  const auto all = values<T>(name);
  const auto ends = i32(std::string(name) + "_end");
  const auto begin = index == 0 || index >= ends.size() ? 0 : static_cast<size_t>(ends[index - 1]);
  const auto end = index < ends.size() ? static_cast<size_t>(ends[index]) : all.size() + 1;
  if (begin > end || end > all.size()) {
    throw std::runtime_error(path_ + ": " + std::string(name) + " has no row " + std::to_string(index));
  }
  return all.subspan(begin, end - begin);
}

}  // namespace tandem::test_support
