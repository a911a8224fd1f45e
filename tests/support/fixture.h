#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tandem::test_support {

/// Path of a committed file: NAME under $TANDEM_SOURCE_DIR, by default the sources that this was built from.
std::filesystem::path source_path(std::string_view name);

/// Path of a committed reference file: tests/reference/data/NAME.
std::filesystem::path reference_path(std::string_view name);

/// The named arrays of one fixture container (layout in tests/reference/README.md), row-major, in memory.
/// Every accessor throws std::runtime_error with file and array name if the array is absent, has another
/// element type or the row is out of range.
class Fixture {
 public:
  /// Reads `path`; throws std::runtime_error with path and byte offset if it is not a whole, valid container.
  static Fixture load(const std::filesystem::path& path);

  std::vector<std::string> names() const;
  bool contains(std::string_view name) const;

  /// Extents of an array, outermost first.
  const std::vector<size_t>& dims(std::string_view name) const;

  std::span<const uint8_t> u8(std::string_view name) const;
  std::span<const int32_t> i32(std::string_view name) const;
  std::span<const float> f32(std::string_view name) const;

  /// Ragged arrays: array NAME holds all rows one after another, NAME_end the end offset of each row.
  size_t row_count(std::string_view name) const;
  std::span<const int32_t> i32_row(std::string_view name, size_t row) const;
  std::string_view text_row(std::string_view name, size_t row) const;

 private:
  struct Array {
    std::vector<size_t> dims;
    std::variant<std::vector<uint8_t>, std::vector<int32_t>, std::vector<float>> values;
  };

  const Array& find(std::string_view name) const;
  template <typename T>
  std::span<const T> values(std::string_view name) const;
  template <typename T>
  std::span<const T> row(std::string_view name, size_t row) const;

  std::string path_;
  std::map<std::string, Array, std::less<>> arrays_;
};

}  // namespace tandem::test_support
