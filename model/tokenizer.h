#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tandem::model {

using TokenId = std::int32_t;

/// GGUF's token_type (model-spec 3.2).
enum class TokenKind : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// Whether text may name control tokens such as <bos>.  User-defined tokens match either way.
enum class SpecialText { plain, parsed };

/// Text to ids and back, for both families (model-spec 5.1 to 5.4).  Immutable: any thread may call it.
class Tokenizer {
 public:
  /// Builds from a header's tokenizer.* metadata.  Throws BadModel and UnsupportedModel.
  static std::unique_ptr<Tokenizer> from_header(const Header& header);
  virtual ~Tokenizer() = default;
  Tokenizer(const Tokenizer&) = delete;
  Tokenizer& operator=(const Tokenizer&) = delete;

  /// Ids of `text`, without BOS.  O(n log n).  Invalid UTF-8 becomes byte tokens.
  [[nodiscard]] virtual std::vector<TokenId> encode(std::string_view text, SpecialText special) const = 0;

  /// The bytes token `id` stands for: may be part of a character; empty for control tokens and ids out of
  /// range.
  [[nodiscard]] std::string_view token_bytes(TokenId id) const noexcept;

  /// The token's text as the vocabulary has it ("<bos>", "▁the", "<0x0A>"); empty for ids out of range.
  [[nodiscard]] std::string_view token_text(TokenId id) const noexcept;

  [[nodiscard]] std::optional<TokenId> find(std::string_view token_text) const noexcept;
  [[nodiscard]] TokenKind kind(TokenId id) const noexcept;
  [[nodiscard]] std::uint32_t size() const noexcept;
  [[nodiscard]] std::optional<TokenId> bos() const noexcept;
  [[nodiscard]] bool adds_bos() const noexcept;

  /// True for tokens that end an answer, resolved by text (model-spec 5.4).
  [[nodiscard]] bool ends_generation(TokenId id) const noexcept;

  /// Tokens never to be sampled (model-spec trap 13), ascending.
  [[nodiscard]] std::span<const TokenId> suppressed() const noexcept;

 protected:
  Tokenizer() = default;
};

}  // namespace tandem::model
