#include "daemon/engine/answer_text.h"

#include <utility>

namespace tandem::engine {

AnswerText::AnswerText(const model::Tokenizer& tokenizer, const EngineRequest& request)
    : tokenizer_(tokenizer), detokenizer_(tokenizer), stops_(request.stop) {
  piece_.reserve(kRoomForText);
  if (!request.chat) return;
  chat_.emplace(tokenizer, request.chat->format, request.chat->start, request.chat->call_depth);
  ends_after_call_ = request.chat->ends_after_call;
}

bool AnswerText::push(model::TokenId token, TextDelta& delta) {
  const bool ends = tokenizer_.ends_generation(token);
  if (!chat_) {
    if (ends) return true;
    piece_.clear();
    detokenizer_.push(token, piece_);
    stops_.push(piece_, delta.text);
    return true;
  }
  const bool was_in_content = chat_->in_content();
  const bool was_in_thought = chat_->in_thought();
  const auto reasoning_bytes = delta.reasoning.size();
  add(chat_->push(token), delta);
  // The token that ends a thought's name may begin its text; of a thought's text some lag behind their token.
  const bool of_thought = was_in_thought || delta.reasoning.size() > reasoning_bytes;
  if (of_thought && chat_->in_thought() && !ends) ++thought_tok_;
  return was_in_content && chat_->in_content() && !ends;
}

void AnswerText::finish(TextDelta& delta) {
  if (stopped()) return;
  if (chat_) {
    add(chat_->finish(), delta);
  } else {
    stops_.push(detokenizer_.finish(), delta.text);
  }
  if (!stops_.stopped()) delta.text += stops_.finish();
}

void AnswerText::add(std::span<model::AnswerEvent> events, TextDelta& delta) {
  for (auto& event : events) {
    if (stopped()) return;
    if (const auto* content = std::get_if<model::ContentDelta>(&event)) {
      delta.make_room(stops_.held_bytes() + content->text.size());
      stops_.push(content->text, delta.text);
    } else if (const auto* thought = std::get_if<model::ReasoningDelta>(&event)) {
      delta.reasoning += thought->text;
    } else {
      delta.make_room(stops_.held_bytes());
      delta.text += stops_.finish();  // no stop string spans a call
      delta.calls.push_back(std::exchange(delta.spare_call, {}));
      std::swap(delta.calls.back(), std::get<model::ToolCall>(event));  // the parser gets memory for the next
      called_ = ends_after_call_;
    }
  }
}

}  // namespace tandem::engine
