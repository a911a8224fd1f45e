#include "model/token_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

namespace tandem::model {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

constexpr unsigned kHalf = 32;

/// kBit[i] is bit i alone: read from memory, a compiler tests a vector of them at once.
constexpr auto kBit = [] {
  std::array<std::uint32_t, kHalf> bits{};
  for (unsigned i = 0; i < kHalf; ++i) bits[i] = std::uint32_t{1} << i;
  return bits;
}();

/// Every logit is read and written, so that this becomes blends of whole vectors: which bits are set is not
/// to be predicted.
void keep_half(std::uint32_t allowed, float* logits) noexcept {
  std::array<float, kHalf> kept;
  for (unsigned i = 0; i < kHalf; ++i) {
    const float logit = logits[i];
    kept[i] = (allowed & kBit[i]) != 0 ? logit : kNever;
  }
  std::ranges::copy(kept, logits);
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
      keep_half(static_cast<std::uint32_t>(word), part.data());
      keep_half(static_cast<std::uint32_t>(word >> kHalf), part.data() + kHalf);
    } else {
      for (std::size_t i = 0; i < part.size(); ++i) {
        if ((word >> i & 1U) == 0) part[i] = kNever;
      }
    }
  }
}

}  // namespace tandem::model
