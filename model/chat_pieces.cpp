#include "model/chat_pieces.h"

#include <algorithm>
#include <array>

#include "model/chat.h"

namespace tandem::model {
namespace {

/// Tokens of the chat formats that files may type as user-defined: those match in plain text, too.
constexpr std::array<std::string_view, 20> kMarkup = {
    "<|turn>",      "<turn|>",          "<|tool>",          "<tool|>",   "<|tool_call>",
    "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>",    "<|think|>",
    "<|channel>",   "<channel|>",       "<|image>",         "<image|>",  "<|image|>",
    "<|audio>",     "<audio|>",         "<|audio|>",        "<|video|>", "<image_soft_token>"};

bool matches_in_plain_text(std::string_view text, const Tokenizer& tokenizer) {
  const auto id = tokenizer.find(text);
  return id && tokenizer.kind(*id) == TokenKind::user_defined;
}

/// Where `text` has to be cut so that no piece of it spells a user-defined token of the chat format: after
/// the first character of every place where one is spelled.
std::vector<std::size_t> cuts_in(std::string_view text, const Tokenizer& tokenizer) {
  std::vector<std::size_t> cuts;
  for (const auto token : kMarkup) {
    if (!matches_in_plain_text(token, tokenizer)) continue;
    for (auto at = text.find(token); at != std::string_view::npos; at = text.find(token, at + 1)) {
      cuts.push_back(at + 1);
    }
  }
  std::ranges::sort(cuts);
  return cuts;
}

void append_plain(std::string_view text, const Tokenizer& tokenizer, std::vector<TokenId>& ids) {
  const auto append = [&](std::string_view part) {
    const auto part_ids = tokenizer.encode(part, SpecialText::plain);
    ids.insert(ids.end(), part_ids.begin(), part_ids.end());
  };
  std::size_t done = 0;
  for (const auto cut : cuts_in(text, tokenizer)) {
    append(text.substr(done, cut - done));
    done = cut;
  }
  append(text.substr(done));
}

}  // namespace

void PieceWriter::plain(std::string_view text) {
  if (text.empty()) return;
  if (pieces_.empty() || pieces_.back().kind != PieceKind::plain) pieces_.push_back({PieceKind::plain, {}});
  pieces_.back().text += text;
}

std::string text_of(std::span<const ChatPiece> pieces) {
  std::string text;
  for (const auto& piece : pieces) text += piece.text;
  return text;
}

std::vector<TokenId> encode(std::span<const ChatPiece> pieces, const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  std::string run;  // of plain text
  for (const auto& piece : pieces) {
    if (piece.kind == PieceKind::plain) {
      run += piece.text;
      continue;
    }
    append_plain(run, tokenizer, ids);
    run.clear();
    const auto id = tokenizer.find(piece.text);
    if (!id) {
      throw ChatError("the vocabulary has no token " + piece.text,
                      "The file's tokenizer does not belong to the chat format that its turn markers name.");
    }
    ids.push_back(*id);
  }
  append_plain(run, tokenizer, ids);
  return ids;
}

}  // namespace tandem::model
