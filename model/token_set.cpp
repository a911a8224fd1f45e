#include "model/token_set.h"

#include <algorithm>
#include <bit>
#include <limits>

namespace tandem::model {

std::size_t TokenSet::size() const noexcept {
  std::size_t count = 0;
  for (const auto word : words_) count += static_cast<std::size_t>(std::popcount(word));
  return count;
}

void keep_only(const TokenSet& allowed, std::span<float> logits) noexcept {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const auto words = allowed.words();
  for (std::size_t begin = 0; begin < logits.size(); begin += 64) {
    const auto word = begin / 64 < words.size() ? words[begin / 64] : 0;
    const auto end = std::min(begin + 64, logits.size());
    if (word == 0) {
      std::fill(logits.begin() + static_cast<std::ptrdiff_t>(begin),
                logits.begin() + static_cast<std::ptrdiff_t>(end), kNever);
    } else if (word != ~std::uint64_t{0}) {
      for (auto i = begin; i < end; ++i) {
        if ((word >> (i - begin) & 1U) == 0) logits[i] = kNever;
      }
    }
  }
}

}  // namespace tandem::model
