#pragma once

#include "model/tokenizer.h"

namespace tandem::model {

/// Gemma 3: SentencePiece BPE.  Two neighbours merge if their text together is a token; the token of highest
/// score goes first (model-spec 5.2).
class ScoreTokenizer final : public Tokenizer {
 public:
  /// Throws BadModel if the header has no score for every token.
  ScoreTokenizer(const Header& header, Vocabulary vocabulary, TokenRoles roles);

 private:
  void encode_fragment(std::string_view escaped, std::vector<TokenId>& ids) const override;

  std::vector<std::uint32_t> ranks_;  ///< (vocab): the higher the score, the lower the rank
};

}  // namespace tandem::model
