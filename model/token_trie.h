#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace tandem::model {

/// How grammars write the tokens that calls are marked with: as bytes that no UTF-8 text has.
inline constexpr std::string_view kCallBeginByte = "\xF8";  ///< <|tool_call>
inline constexpr std::string_view kCallEndByte = "\xF9";    ///< <tool_call|>
inline constexpr std::string_view kQuoteByte = "\xFA";      ///< <|"|>

/// Whether answers may have calls in them.
enum class CallMarkup { left_out, as_bytes };

/// Which tokens an answer may be made of where it has to keep to a grammar, by their bytes: a tree in which
/// tokens with the same beginning share a path.  Left out are tokens without bytes, unused ones, those never
/// to be sampled, and chat markup (calls' only where that is wanted).  Immutable; one or two a model, a few
/// MiB.
class TokenTrie {
 public:
  explicit TokenTrie(const Tokenizer& tokenizer, CallMarkup calls = CallMarkup::left_out);
  /// Of tokens with these bytes, ids in order; empty ones are left out.
  TokenTrie(std::span<const std::string_view> bytes, std::vector<TokenId> end_tokens);

  /// A path from the root, in the order of a walk that goes deep first: the nodes below node i are
  /// i + 1 to end - 1.  Node 0 is the root.
  struct Node {
    std::uint32_t end = 0;          ///< the node after all below this one
    std::uint32_t first_token = 0;  ///< the node's tokens end where the next node's begin
    std::uint16_t depth = 0;        ///< bytes from the root
    std::uint8_t byte = 0;          ///< the last one
  };

  [[nodiscard]] std::span<const Node> nodes() const noexcept { return {nodes_.data(), nodes_.size() - 1}; }
  /// The tokens whose bytes are the path to node `index`.
  [[nodiscard]] std::span<const TokenId> tokens(std::uint32_t index) const noexcept {
    return {tokens_.data() + nodes_[index].first_token, tokens_.data() + nodes_[index + 1].first_token};
  }

  [[nodiscard]] std::uint32_t vocabulary_size() const noexcept {
    return static_cast<std::uint32_t>(bytes_.size());
  }
  /// The bytes of a token that is in the tree, else nothing.  They are the tokenizer's, which outlives this.
  [[nodiscard]] std::string_view bytes(TokenId token) const noexcept;
  /// Tokens that end an answer.
  [[nodiscard]] std::span<const TokenId> end_tokens() const noexcept { return end_tokens_; }

 private:
  void build();

  std::vector<std::string_view> bytes_;  ///< of every token, empty for those left out
  std::vector<TokenId> end_tokens_;
  std::vector<Node> nodes_;      ///< and one after the last
  std::vector<TokenId> tokens_;  ///< in the order of the nodes
};

}  // namespace tandem::model
