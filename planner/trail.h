#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tandem::planner {

/// What became of a label with one unit more: the side that it was on, and on which sides it was kept.  In
/// one byte, since there are as many as labels; where a label came from is seldom asked, and then counted.
class Fate {
 public:
  constexpr Fate() = default;
  constexpr Fate(std::size_t from, std::size_t kept_on_cpu, std::size_t kept_on_gpu) noexcept
      : bits_(static_cast<std::uint8_t>(from | kept_on_cpu << 1U | kept_on_gpu << 2U)) {}

  [[nodiscard]] constexpr std::size_t from() const noexcept { return bits_ & 1U; }
  [[nodiscard]] constexpr bool is_kept(std::size_t side) const noexcept { return (bits_ & 2U << side) != 0; }
  /// Drops it from `side` unless `stays` is 1: in no order that a processor could foresee, so without a
  /// branch.
  constexpr void keep(std::size_t side, std::size_t stays) noexcept {
    bits_ &= static_cast<std::uint8_t>(~(2U << side) | stays << (1 + side));
  }

 private:
  std::uint8_t bits_ = 0;
};

/// Number `index` of the labels on `side`.
struct LabelPlace {
  std::size_t side = 0;
  std::size_t index = 0;

  bool operator==(const LabelPlace&) const = default;
};

/// Which label became the one at `place`, from what became of all, in the order they were gone through.
inline LabelPlace origin_of(std::span<const Fate> fates, LabelPlace place) {
  constexpr std::size_t kTogether = sizeof(std::uint64_t);
  // Of so many, in how many bit number `bit` is set.
  const auto count = [](std::span<const Fate> of, std::size_t bit) {
    constexpr std::uint64_t kOnes = 0x0101'0101'0101'0101;
    std::uint64_t word = 0;
    std::memcpy(&word, of.data(), kTogether);
    return static_cast<std::size_t>((word >> bit & kOnes) * kOnes >> 56U);
  };
  std::array<std::size_t, 2> passed{};  // by side
  for (; fates.size() >= kTogether; fates = fates.subspan(kTogether)) {
    const auto kept = count(fates, 1 + place.side);
    if (kept > place.index) break;
    place.index -= kept;
    const auto on_gpu = count(fates, 0);
    passed[0] += kTogether - on_gpu;
    passed[1] += on_gpu;
  }
  for (const auto fate : fates) {
    if (fate.is_kept(place.side) && place.index-- == 0) return {fate.from(), passed[fate.from()]};
    ++passed[fate.from()];
  }
  return {};
}

}  // namespace tandem::planner
