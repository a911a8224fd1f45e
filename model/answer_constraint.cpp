#include "model/answer_constraint.h"

#include <utility>

#include "model/answer_parser.h"

namespace tandem::model {

AnswerConstraint::AnswerConstraint(std::shared_ptr<GrammarMasks> masks, const Tokenizer& tokenizer,
                                   ThoughtFirst thought, std::string_view begun)
    : matcher_(std::move(masks), begun),
      thought_begin_(tokenizer.find(text_of(Marker::thought_begin))),
      thought_end_(tokenizer.find(text_of(Marker::thought_end))),
      in_thought_(tokenizer.size()),
      at_beginning_(tokenizer.size()) {
  if (thought == ThoughtFirst::no || !thought_begin_ || !thought_end_) return;
  state_ = thought == ThoughtFirst::is_open ? State::thought : State::beginning;
  const auto call_begin = tokenizer.find(text_of(Marker::call_begin));  // it would end the thought
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    if (!tokenizer.ends_generation(id) && id != call_begin) in_thought_.add(id);
  }
  at_beginning_.add_all(matcher_.allowed());
  at_beginning_.add(*thought_begin_);
}

const TokenSet& AnswerConstraint::allowed() {
  if (state_ == State::thought) return in_thought_;
  return state_ == State::beginning ? at_beginning_ : matcher_.allowed();
}

bool AnswerConstraint::accept(TokenId token) {
  if (state_ == State::thought) {
    const bool known = static_cast<std::size_t>(token) / 64 < in_thought_.words().size();
    if (!known || !in_thought_.contains(token)) return false;
    if (token == thought_end_) state_ = State::content;
    return true;
  }
  if (state_ == State::beginning && token == thought_begin_) {
    state_ = State::thought;
    return true;
  }
  if (!matcher_.accept(token)) return false;
  state_ = State::content;
  return true;
}

}  // namespace tandem::model
