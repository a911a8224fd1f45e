#pragma once

#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::test_support {

/// Little-endian bytes of a number.
template <typename T>
std::string le(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}

/// A GGUF string: u64 length and the bytes.
inline std::string gguf_string(std::string_view text) {
  return le<std::uint64_t>(text.size()) + std::string(text);
}

/// A metadata pair with any type number and any bytes as its value.
inline std::string key_value(std::string_view key, std::uint32_t type, std::string_view value) {
  return gguf_string(key) + le(type) + std::string(value);
}
inline std::string key_u32(std::string_view key, std::uint32_t value) {
  return key_value(key, 4, le(value));
}
inline std::string key_f32(std::string_view key, float value) {
  return key_value(key, 6, le(value));
}
inline std::string key_bool(std::string_view key, bool value) {
  return key_value(key, 7, le<char>(value ? 1 : 0));
}
inline std::string key_string(std::string_view key, std::string_view value) {
  return key_value(key, 8, gguf_string(value));
}

/// A metadata array; `elements` are the elements' bytes, `count` may lie.
inline std::string key_array(std::string_view key, std::uint32_t element_type, std::uint64_t count,
                             std::string_view elements) {
  return key_value(key, 9, le(element_type) + le(count) + std::string(elements));
}

/// A directory entry; every field may lie.
inline std::string tensor_entry(std::string_view name, const std::vector<std::uint64_t>& dims,
                                std::uint32_t type, std::uint64_t offset) {
  std::string bytes = gguf_string(name) + le(static_cast<std::uint32_t>(dims.size()));
  for (const auto dim : dims) bytes += le(dim);
  return bytes + le(type) + le(offset);
}

/// A GGUF file in pieces, each of which a test may get wrong.  Shares no code with Tandem's own reader and
/// writer.
struct GgufBytes {
  std::uint32_t magic = 0x46554747;
  std::uint32_t version = 3;
  std::optional<std::uint64_t> tensor_count;  ///< the true one if not set
  std::optional<std::uint64_t> key_count;
  std::vector<std::string> keys;
  std::vector<std::string> tensors;
  std::uint64_t alignment = 32;
  std::string data;  ///< after the padding

  [[nodiscard]] std::string header() const {
    std::string bytes = le(magic) + le(version) + le<std::uint64_t>(tensor_count.value_or(tensors.size())) +
                        le<std::uint64_t>(key_count.value_or(keys.size()));
    for (const auto& key : keys) bytes += key;
    for (const auto& tensor : tensors) bytes += tensor;
    return bytes;
  }

  [[nodiscard]] std::string bytes() const {
    auto all = header();
    all.resize((all.size() + alignment - 1) / alignment * alignment);
    return all + data;
  }
};

}  // namespace tandem::test_support
