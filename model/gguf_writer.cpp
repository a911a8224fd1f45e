#include "model/gguf_writer.h"

#include "model/checked.h"
#include "model/error.h"

namespace tandem::model {
namespace {

constexpr std::uint64_t kAlignment = 32;

void append(std::string& out, std::span<const std::byte> bytes) {
  out.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

/// The value's own bytes: GGUF is little-endian, as this machine is (byte_reader.h).
template <typename T>
void append_value(std::string& out, const T& value) {
  append(out, std::as_bytes(std::span(&value, 1)));
}

void append_string(std::string& out, std::string_view text) {
  append_value(out, std::uint64_t{text.size()});
  out.append(text);
}

}  // namespace

void GgufWriter::begin_pair(std::string_view key, MetaType type) {
  append_string(pairs_, key);
  append_value(pairs_, type);
  ++pair_count_;
}

void GgufWriter::begin_array(std::string_view key, MetaType element, std::uint64_t count) {
  begin_pair(key, MetaType::array);
  append_value(pairs_, element);
  append_value(pairs_, count);
}

void GgufWriter::add_uint(std::string_view key, std::uint32_t value) {
  begin_pair(key, MetaType::u32);
  append_value(pairs_, value);
}

void GgufWriter::add_float(std::string_view key, float value) {
  begin_pair(key, MetaType::f32);
  append_value(pairs_, value);
}

void GgufWriter::add_bool(std::string_view key, bool value) {
  begin_pair(key, MetaType::boolean);
  append_value(pairs_, static_cast<std::uint8_t>(value));
}

void GgufWriter::add_string(std::string_view key, std::string_view value) {
  begin_pair(key, MetaType::string);
  append_string(pairs_, value);
}

void GgufWriter::add_ints(std::string_view key, std::span<const std::int32_t> values) {
  begin_array(key, MetaType::i32, values.size());
  append(pairs_, std::as_bytes(values));
}

void GgufWriter::add_floats(std::string_view key, std::span<const float> values) {
  begin_array(key, MetaType::f32, values.size());
  append(pairs_, std::as_bytes(values));
}

void GgufWriter::add_bools(std::string_view key, const std::vector<bool>& values) {
  begin_array(key, MetaType::boolean, values.size());
  for (const bool value : values) append_value(pairs_, static_cast<std::uint8_t>(value));
}

void GgufWriter::add_strings(std::string_view key, std::span<const std::string> values) {
  begin_array(key, MetaType::string, values.size());
  for (const auto& value : values) append_string(pairs_, value);
}

void GgufWriter::add_tensor(std::string_view name, TensorType type, std::span<const std::uint64_t> dims) {
  const auto& info = tensor_type_info(type);
  std::optional<std::uint64_t> elems = 1;
  for (const auto dim : dims) elems = elems ? checked_mul(*elems, dim) : elems;
  const auto size_bytes = elems ? tensor_bytes(type, *elems) : std::nullopt;
  const auto end = size_bytes ? checked_add(data_bytes_, *size_bytes) : std::nullopt;
  const auto padded_end = end ? checked_align_up(*end, kAlignment) : std::nullopt;
  if (!padded_end || dims.empty() || dims[0] % info.block_elems != 0) {
    throw Error("tensor " + std::string(name) + ": " + std::string(info.name) +
                " needs rows of whole blocks of " + std::to_string(info.block_elems) +
                " elements and a size below 2^64 bytes");
  }
  append_string(directory_, name);
  append_value(directory_, static_cast<std::uint32_t>(dims.size()));
  for (const auto dim : dims) append_value(directory_, dim);
  append_value(directory_, type);
  append_value(directory_, data_bytes_);
  data_bytes_ = *padded_end;
  ++tensor_count_;
}

std::string GgufWriter::header() const {
  constexpr std::string_view kMagic = "GGUF";
  constexpr std::uint32_t kVersion = 3;
  std::string out(kMagic);
  append_value(out, kVersion);
  append_value(out, tensor_count_);
  append_value(out, pair_count_);
  out.append(pairs_);
  out.append(directory_);
  out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
  return out;
}

}  // namespace tandem::model
