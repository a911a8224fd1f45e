#include "daemon/engine/answer_text.h"

#include <utility>

namespace tandem::engine {

AnswerText::AnswerText(const model::Tokenizer& tokenizer, const EngineRequest& request)
    : tokenizer_(tokenizer), detokenizer_(tokenizer), stops_(request.stop) {
  if (request.chat) chat_.emplace(tokenizer, request.chat->format, request.chat->start);
}

bool AnswerText::push(model::TokenId token, TextDelta& delta) {
  const bool ends = tokenizer_.ends_generation(token);
  if (!chat_) {
    if (!ends) delta.text += stops_.push(detokenizer_.push(token));
    return true;
  }
  const bool was_in_content = chat_->in_content();
  add(chat_->push(token), delta);
  return was_in_content && chat_->in_content() && !ends;
}

void AnswerText::finish(TextDelta& delta) {
  if (stops_.stopped()) return;
  if (chat_) {
    add(chat_->finish(), delta);
  } else {
    delta.text += stops_.push(detokenizer_.finish());
  }
  if (!stops_.stopped()) delta.text += stops_.finish();
}

void AnswerText::add(std::vector<model::AnswerEvent> events, TextDelta& delta) {
  for (auto& event : events) {
    if (stops_.stopped()) return;
    if (const auto* content = std::get_if<model::ContentDelta>(&event))
      delta.text += stops_.push(content->text);
    if (const auto* thought = std::get_if<model::ReasoningDelta>(&event)) delta.reasoning += thought->text;
    if (auto* call = std::get_if<model::ToolCall>(&event)) delta.calls.push_back(std::move(*call));
  }
}

}  // namespace tandem::engine
