#pragma once

#include "model/pair_merger.h"
#include "model/tokenizer.h"

namespace tandem::model {

/// Gemma 4: BPE by the ranks of a list of merges; newlines and other text never merge (model-spec 5.3).
class RankTokenizer final : public Tokenizer {
 public:
  /// Throws BadModel if the header has no merges or one names a token that the vocabulary lacks.
  RankTokenizer(const Header& header, Vocabulary vocabulary, TokenRoles roles);

 private:
  /// A merge, filed under its left token.
  struct Entry {
    TokenId right;
    Merge merge;
  };

  void encode_fragment(std::string_view escaped, std::vector<TokenId>& ids) const override;
  [[nodiscard]] Merge find_merge(TokenId left, TokenId right) const noexcept;

  std::vector<Entry> merges_;         ///< by left token, then by right token
  std::vector<std::uint32_t> first_;  ///< (vocab + 1): where a left token's entries start
};

}  // namespace tandem::model
