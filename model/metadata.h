#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace tandem::model {

/// Types of metadata values, numbered as in GGUF (model-spec 4.1).
enum class MetaType : std::uint32_t {
  u8 = 0,
  i8 = 1,
  u16 = 2,
  i16 = 3,
  u32 = 4,
  i32 = 5,
  f32 = 6,
  boolean = 7,
  string = 8,
  array = 9,
  u64 = 10,
  i64 = 11,
  f64 = 12,
};

/// Bytes of one value of `type`; 0 for strings and arrays, whose size is in the file.
std::uint32_t meta_type_bytes(MetaType type) noexcept;

/// "u32", "string" ...
std::string_view meta_type_name(MetaType type) noexcept;

/// A metadata array where it lies in the file.  Reading a header checks it and copies nothing; the accessors
/// decode it, so a plan never pays for a vocabulary.
class MetaArray {
 public:
  MetaArray() = default;

  /// `bytes` holds exactly `count` elements, already checked; they outlive this view.
  MetaArray(MetaType element, std::uint64_t count, std::span<const std::byte> bytes) noexcept
      : element_(element), count_(count), bytes_(bytes) {}

  [[nodiscard]] MetaType element() const noexcept { return element_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return count_; }

  /// All elements; nothing if they are of another kind.
  [[nodiscard]] std::optional<std::vector<std::string_view>> strings() const;
  [[nodiscard]] std::optional<std::vector<bool>> booleans() const;
  /// Any integer type; nothing also if a value exceeds int64.
  [[nodiscard]] std::optional<std::vector<std::int64_t>> integers() const;
  /// Any integer or float type.
  [[nodiscard]] std::optional<std::vector<double>> numbers() const;

 private:
  MetaType element_ = MetaType::u8;
  std::uint64_t count_ = 0;
  std::span<const std::byte> bytes_;
};

/// A metadata value.  Every unsigned, signed and float width of GGUF is widened; strings stay in the file.
using MetaValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, MetaArray>;

}  // namespace tandem::model
