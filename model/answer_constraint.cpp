#include "model/answer_constraint.h"

#include <utility>

#include "model/answer_parser.h"

namespace tandem::model {

AnswerConstraint::AnswerConstraint(std::shared_ptr<GrammarMasks> masks, const Tokenizer& tokenizer,
                                   ThoughtFirst thought, std::string_view begun,
                                   std::pmr::memory_resource* memory)
    : tokenizer_(tokenizer),
      matcher_(std::move(masks), begun, memory),
      thought_begin_(tokenizer.find(text_of(Marker::thought_begin))),
      thought_end_(tokenizer.find(text_of(Marker::thought_end))),
      before_content_(tokenizer.size(), memory) {
  if (thought == ThoughtFirst::no || !thought_begin_ || !thought_end_) return;
  if (thought == ThoughtFirst::is_open) {
    begin_thought();
    return;
  }
  state_ = State::beginning;
  before_content_.add_all(matcher_.allowed());
  before_content_.add(*thought_begin_);
}

/// From now on everything may come but the answer's end or a call.
void AnswerConstraint::begin_thought() {
  state_ = State::thought;
  before_content_.clear();
  const auto call_begin = tokenizer_.find(text_of(Marker::call_begin));  // it would end the thought
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer_.size()); ++id) {
    if (!tokenizer_.ends_generation(id) && id != call_begin) before_content_.add(id);
  }
}

const TokenSet& AnswerConstraint::allowed() {
  return state_ == State::content ? matcher_.allowed() : before_content_;
}

bool AnswerConstraint::accept(TokenId token) {
  if (state_ == State::thought) {
    const bool known = static_cast<std::size_t>(token) / 64 < before_content_.words().size();
    if (!known || !before_content_.contains(token)) return false;
    if (token == thought_end_) state_ = State::content;
    return true;
  }
  if (state_ == State::beginning && token == thought_begin_) {
    begin_thought();
    return true;
  }
  if (!matcher_.accept(token)) return false;
  state_ = State::content;
  return true;
}

}  // namespace tandem::model
