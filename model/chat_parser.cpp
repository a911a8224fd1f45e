#include "model/chat_parser.h"

namespace tandem::model {

ChatParser::ChatParser(const Tokenizer& tokenizer, ChatTemplate format, const AnswerStart& start,
                       std::size_t call_depth)
    : tokenizer_(&tokenizer), detokenizer_(tokenizer), answer_(start, call_depth) {
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

std::vector<AnswerEvent> ChatParser::push(TokenId token) {
  if (tokenizer_->ends_generation(token)) return {};
  if (const auto marker = marker_of(token)) {
    answer_.text(detokenizer_.finish());
    answer_.marker(*marker);
  } else {
    answer_.text(detokenizer_.push(token));
  }
  return answer_.take();
}

std::vector<AnswerEvent> ChatParser::finish() {
  answer_.text(detokenizer_.finish());
  answer_.finish();
  return answer_.take();
}

}  // namespace tandem::model
