#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem::planner {

/// How far labels are above each of up to four bounds at the least, in parts of what they may be: four
/// numbers in one word, so that a label takes one addition and one comparison.  Steps are rounded down, so a
/// label is never said to be further above than it is.
class Excess {
 public:
  static constexpr std::size_t kBounds = 4;
  static constexpr std::uint64_t kMost = (1 << 15) - 1;  ///< parts of what may be

  constexpr Excess() = default;

  /// Of a step that no label may take.
  static constexpr Excess too_much() noexcept {
    Excess excess;
    excess.word_ = kTooMuch;
    return excess;
  }

  /// Sets what a step adds by `bound`, in parts of what may be; more than kMost are too many for any label.
  constexpr void set(std::size_t bound, double parts) noexcept {
    const auto whole = !(parts > 0) ? 0 : parts < kMost + 1 ? static_cast<std::uint64_t>(parts) : kMost + 1;
    word_ = (word_ & ~(kNumber << (kBits * bound))) | whole << (kBits * bound);
  }

  /// Of a label that may do and a step: no number runs over into the next.
  constexpr Excess operator+(Excess step) const noexcept {
    Excess sum;
    sum.word_ = word_ + step.word_;
    return sum;
  }

  /// Not too far above any bound.
  [[nodiscard]] constexpr bool may_do() const noexcept { return (word_ & kTooMuch) == 0; }

  /// By the first bound.
  [[nodiscard]] constexpr std::uint32_t first() const noexcept {
    return static_cast<std::uint32_t>(word_ & kNumber);
  }

  constexpr bool operator==(const Excess&) const = default;

 private:
  static constexpr unsigned kBits = 16;
  static constexpr std::uint64_t kNumber = 0xFFFF;
  static constexpr std::uint64_t kTooMuch = 0x8000'8000'8000'8000;

  std::uint64_t word_ = 0;
};

}  // namespace tandem::planner
