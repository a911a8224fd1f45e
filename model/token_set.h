#pragma once

#include <algorithm>
#include <cstdint>
#include <memory_resource>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace tandem::model {

/// A set of tokens, one bit each: token t is bit t % 64 of word t / 64.
class TokenSet {
 public:
  explicit TokenSet(std::uint32_t vocabulary_size,
                    std::pmr::memory_resource* memory = std::pmr::get_default_resource())
      : words_((vocabulary_size + 63) / 64, memory) {}

  void add(TokenId token) noexcept {
    words_[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (static_cast<unsigned>(token) % 64);
  }
  void clear() noexcept { std::ranges::fill(words_, 0); }
  [[nodiscard]] bool contains(TokenId token) const noexcept {
    return (words_[static_cast<std::size_t>(token) / 64] >> (static_cast<unsigned>(token) % 64) & 1U) != 0;
  }
  void add_all(const TokenSet& others) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= others.words_[i];
  }
  [[nodiscard]] std::span<const std::uint64_t> words() const noexcept { return words_; }
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  std::pmr::vector<std::uint64_t> words_;
};

/// Logits of tokens outside `allowed` become minus infinity.
void keep_only(const TokenSet& allowed, std::span<float> logits) noexcept;

}  // namespace tandem::model
