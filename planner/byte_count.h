#pragma once

#include <compare>
#include <cstdint>

#include "model/checked.h"
#include "planner/errors.h"

namespace tandem::planner {

/// A number of bytes that cannot wrap: arithmetic beyond 2^64 throws BadQuestion.
class ByteCount {
 public:
  constexpr ByteCount() = default;
  constexpr ByteCount(std::uint64_t value) noexcept : value_(value) {}  // NOLINT: a number is a byte count

  [[nodiscard]] constexpr std::uint64_t value() const noexcept { return value_; }

  /// Up to the next multiple of `alignment`, a power of two.
  [[nodiscard]] ByteCount aligned(std::uint64_t alignment) const {
    return checked(model::checked_align_up(value_, alignment));
  }

  ByteCount& operator+=(ByteCount other) { return *this = *this + other; }
  friend ByteCount operator+(ByteCount a, ByteCount b) {
    return checked(model::checked_add(a.value_, b.value_));
  }
  friend ByteCount operator*(ByteCount a, ByteCount b) {
    return checked(model::checked_mul(a.value_, b.value_));
  }
  friend constexpr bool operator==(ByteCount a, ByteCount b) noexcept { return a.value_ == b.value_; }
  friend constexpr std::strong_ordering operator<=>(ByteCount a, ByteCount b) noexcept {
    return a.value_ <=> b.value_;
  }

 private:
  static ByteCount checked(std::optional<std::uint64_t> value) {
    if (!value)
      throw BadQuestion("this model and workload need more than 2^64 bytes", "ask for less context");
    return *value;
  }

  std::uint64_t value_ = 0;
};

}  // namespace tandem::planner
