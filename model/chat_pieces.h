#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace tandem::model {

enum class PieceKind {
  control,  ///< the text of one token of the chat format, such as <bos> or <|turn>
  plain     ///< what the template and the messages say in words; never becomes a control token
};

/// Part of a rendered conversation.
struct ChatPiece {
  PieceKind kind = PieceKind::plain;
  std::string text;

  bool operator==(const ChatPiece&) const = default;
};

/// Collects pieces; adjacent plain texts become one piece.
class PieceWriter {
 public:
  void control(std::string_view token) { pieces_.push_back({PieceKind::control, std::string(token)}); }
  void plain(std::string_view text);
  [[nodiscard]] std::vector<ChatPiece> take() { return std::move(pieces_); }

 private:
  std::vector<ChatPiece> pieces_;
};

/// The pieces as one text: what a template engine would have made.
std::string text_of(std::span<const ChatPiece> pieces);

/// The pieces as tokens.  Control pieces are exactly their token.  Plain text between two of them is encoded
/// in one go, so the ids are those of the whole text wherever no message spells a token of the chat format;
/// where one does, the spelling stays text, however the vocabulary types that token.
/// Throws ChatError if the vocabulary lacks a control piece's token.
std::vector<TokenId> encode(std::span<const ChatPiece> pieces, const Tokenizer& tokenizer);

}  // namespace tandem::model
