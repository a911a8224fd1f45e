#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/vocabulary.h"

namespace tandem::model {

/// A special token found in a text, at bytes [begin, begin + bytes).
struct SpecialMatch {
  std::size_t begin = 0;
  std::size_t bytes = 0;
  TokenId token = kNoToken;
};

/// Finds special tokens (control, user-defined ...) in raw text by the rule of model-spec 5.1: tokens take
/// their places in order of descending length, equally long ones by id, each from left to right wherever
/// nothing taken before is in the way.  O(n log n) in the text for any number of tokens.
class SpecialMatcher {
 public:
  struct Token {
    std::string_view text;  ///< outlives the matcher; empty texts never match
    TokenId id = kNoToken;
  };

  explicit SpecialMatcher(std::vector<Token> tokens);

  /// All matches in `text`, in order of their place.
  [[nodiscard]] std::vector<SpecialMatch> find_all(std::string_view text) const;

 private:
  /// The longest token that begins `text`; token kNoToken if there is none.  `begin` is left 0.
  [[nodiscard]] SpecialMatch longest_at_front(std::string_view text) const noexcept;

  std::vector<Token> tokens_;                    ///< sorted by text, every text once
  std::array<std::uint32_t, 257> first_byte_{};  ///< where texts with this first byte start in tokens_
};

}  // namespace tandem::model
