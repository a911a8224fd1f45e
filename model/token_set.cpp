#include "model/token_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace tandem::model {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

/// For four bits of a set, what the four logits may be at most.
constexpr auto kLimits = [] {
  std::array<std::array<float, 4>, 16> limits{};
  for (unsigned bits = 0; bits < 16; ++bits) {
    for (unsigned i = 0; i < 4; ++i) {
      limits[bits][i] = (bits >> i & 1U) != 0 ? std::numeric_limits<float>::infinity() : kNever;
    }
  }
  return limits;
}();

/// Without branches, which bits are set is not to be predicted.
void limit_four(std::uint64_t bits, float* logits) noexcept {
  const auto& limits = kLimits[bits];
  for (std::size_t i = 0; i < 4; ++i) logits[i] = std::min(logits[i], limits[i]);
}

}  // namespace

std::size_t TokenSet::size() const noexcept {
  std::size_t count = 0;
  for (const auto word : words_) count += static_cast<std::size_t>(std::popcount(word));
  return count;
}

void keep_only(const TokenSet& allowed, std::span<float> logits) noexcept {
  constexpr std::size_t kWord = 64;
  const auto words = allowed.words();
  for (std::size_t begin = 0; begin < logits.size(); begin += kWord) {
    const auto word = begin / kWord < words.size() ? words[begin / kWord] : 0;
    const auto part = logits.subspan(begin, std::min(kWord, logits.size() - begin));
    if (word == 0) {
      std::ranges::fill(part, kNever);
    } else if (word == ~std::uint64_t{0}) {
      continue;
    } else if (part.size() == kWord) {
      for (unsigned shift = 0; shift < kWord; shift += 4)
        limit_four(word >> shift & 15U, part.data() + shift);
    } else {
      for (std::size_t i = 0; i < part.size(); ++i) {
        if ((word >> i & 1U) == 0) part[i] = kNever;
      }
    }
  }
}

}  // namespace tandem::model
