#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace tandem::planner {

/// What labels are compared by: the first 2 of these, where devices overlap also their own times, and where
/// RAM may bind all.
enum Amount : std::size_t { kVram, kSerial, kCpu, kGpu, kRam, kDrafts };

template <std::size_t kAmounts>
using Amounts = std::array<std::int64_t, kAmounts>;

/// Two amounts that are computed with alike, as every processor can: compilers do not see that they may.
using AmountPair = std::int64_t __attribute__((vector_size(16)));

/// Puts the sum of `one` and `other` into `sum`, and says whether it is less than `before` in some amount
/// that is above `harmless` there.
template <std::size_t kAmounts>
[[gnu::always_inline]] inline bool add(const Amounts<kAmounts>& one, const Amounts<kAmounts>& other,
                                       const Amounts<kAmounts>& before, const Amounts<kAmounts>& harmless,
                                       Amounts<kAmounts>& sum) noexcept {
  const auto pair = [](const Amounts<kAmounts>& amounts, std::size_t k) {
    AmountPair both;
    std::memcpy(&both, &amounts[k], sizeof both);
    return both;
  };
  AmountPair less{};
  for (std::size_t k = 0; k < kAmounts; k += 2) {
    const auto added = pair(one, k) + pair(other, k);
    std::memcpy(&sum[k], &added, sizeof added);
    less |= (added - pair(before, k)) & (pair(harmless, k) - pair(before, k));
  }
  return (less[0] | less[1]) < 0;
}

}  // namespace tandem::planner
