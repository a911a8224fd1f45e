#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/special_matcher.h"
#include "model/vocabulary.h"

namespace tandem::model {

/// Whether text may name control tokens such as <bos>.  User-defined tokens match either way.
enum class SpecialText { plain, parsed };

/// Tokens with a part to play beyond their text.
struct TokenRoles {
  std::optional<TokenId> bos;
  bool adds_bos = false;
  std::vector<TokenId> ends_generation;  ///< ascending
  std::vector<TokenId> suppressed;       ///< ascending
};

/// Text to ids and back, for both families (model-spec 5.1 to 5.4).  Immutable: any thread may call it.
class Tokenizer {
 public:
  /// Builds from a header's tokenizer.* metadata.  Throws BadModel and UnsupportedModel.
  static std::unique_ptr<Tokenizer> from_header(const Header& header);
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Ids of `text`, without BOS.  O(n log n).  Every byte that is not part of well-formed UTF-8 becomes its
  /// byte token, so nothing is lost.  Throws Error for texts over kMaxTextBytes.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text, SpecialText special) const;

  /// Ids of a whole prompt: BOS by the model's rule, not doubled where the text names it.
  [[nodiscard]] std::vector<TokenId> encode_prompt(std::string_view text, SpecialText special) const;

  static constexpr std::size_t kMaxTextBytes = std::size_t{1} << 30;

  /// The bytes token `id` stands for: may be part of a character; empty for control and unknown tokens and
  /// ids out of range.
  [[nodiscard]] std::string_view token_bytes(TokenId id) const noexcept;

  /// The token's text as the vocabulary has it ("<bos>", "▁the", "<0x0A>"); empty for ids out of range.
  [[nodiscard]] std::string_view token_text(TokenId id) const noexcept;

  [[nodiscard]] std::optional<TokenId> find(std::string_view token_text) const noexcept;
  /// Unknown for ids out of range.
  [[nodiscard]] TokenKind kind(TokenId id) const noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept { return vocabulary_.size(); }
  /// Tokens that a text of `bytes` bytes has at the least, whatever it says.
  [[nodiscard]] std::size_t least_tokens(std::size_t bytes) const noexcept {
    return bytes / std::max<std::size_t>(1, vocabulary_.longest_bytes());
  }
  [[nodiscard]] std::optional<TokenId> bos() const noexcept { return roles_.bos; }
  [[nodiscard]] bool adds_bos() const noexcept { return roles_.adds_bos; }

  /// True for tokens that end an answer, resolved by text (model-spec 5.4).
  [[nodiscard]] bool ends_generation(TokenId id) const noexcept;

  /// Tokens never to be sampled (model-spec trap 13), ascending.
  [[nodiscard]] std::span<const TokenId> suppressed() const noexcept { return roles_.suppressed; }

 protected:
  Tokenizer(Vocabulary vocabulary, TokenRoles roles);

  [[nodiscard]] const Vocabulary& vocabulary() const noexcept { return vocabulary_; }

 private:
  /// Appends the ids of text without special tokens, in which spaces are kSpaceMark.
  virtual void encode_fragment(std::string_view escaped, std::vector<TokenId>& ids) const = 0;

  Vocabulary vocabulary_;
  TokenRoles roles_;
  SpecialMatcher user_defined_;
  SpecialMatcher all_special_;
};

}  // namespace tandem::model
