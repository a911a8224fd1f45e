#include "model/chat_parser.h"

namespace tandem::model {

ChatParser::ChatParser(const Tokenizer& tokenizer, ChatTemplate format, const AnswerStart& start,
                       std::size_t call_depth)
    : tokenizer_(&tokenizer), detokenizer_(tokenizer), answer_(start, call_depth) {
  constexpr std::size_t kRoomForText = 256;
  piece_.reserve(kRoomForText);
  if (!has_tools(format)) return;
  for (const auto marker : kMarkers) {
    if (const auto id = tokenizer.find(text_of(marker))) markers_.emplace_back(*id, marker);
  }
}

std::optional<Marker> ChatParser::marker_of(TokenId token) const {
  for (const auto& [id, marker] : markers_) {
    if (id == token) return marker;
  }
  return std::nullopt;
}

std::span<AnswerEvent> ChatParser::push(TokenId token) {
  answer_.clear();
  if (tokenizer_->ends_generation(token)) return {};
  if (const auto marker = marker_of(token)) {
    answer_.text(detokenizer_.finish());
    answer_.marker(*marker);
  } else {
    piece_.clear();
    detokenizer_.push(token, piece_);
    answer_.text(piece_);
  }
  return answer_.events();
}

std::span<AnswerEvent> ChatParser::finish() {
  answer_.clear();
  answer_.text(detokenizer_.finish());
  answer_.finish();
  return answer_.events();
}

}  // namespace tandem::model
