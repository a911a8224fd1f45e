#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>

namespace tandem::model {

static_assert(std::endian::native == std::endian::little, "GGUF files are read as they lie");

/// One little-endian value at the start of `bytes`, at any alignment.
template <typename T>
T load_le(const std::byte* bytes) noexcept {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

/// `text` fit for a message: cut to 64 bytes, everything but printable ASCII replaced by '?'.
std::string printable(std::string_view text);

/// Reads a file's bytes in order and never past their end.  `field` names what is being read, for the
/// BadModel that every shortage ends in.
class ByteReader {
 public:
  ByteReader(const std::string& file, std::span<const std::byte> bytes) noexcept
      : file_(&file), bytes_(bytes) {}

  [[nodiscard]] std::uint64_t offset() const noexcept { return offset_; }
  [[nodiscard]] std::uint64_t remaining() const noexcept { return bytes_.size() - offset_; }
  [[nodiscard]] const std::string& file() const noexcept { return *file_; }

  template <typename T>
  T read(std::string_view field) {
    return load_le<T>(take(sizeof(T), field).data());
  }

  /// u64 length and that many bytes; at most 1 GiB.
  std::string_view read_string(std::string_view field);

  /// The next `size_bytes` bytes.
  std::span<const std::byte> take(std::uint64_t size_bytes, std::string_view field);

  /// Throws BadModel at the current offset.
  [[noreturn]] void fail(std::string_view field, const std::string& problem) const;

 private:
  const std::string* file_;
  std::span<const std::byte> bytes_;
  std::uint64_t offset_ = 0;
};

}  // namespace tandem::model
