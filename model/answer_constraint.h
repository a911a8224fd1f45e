#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "model/grammar_matcher.h"
#include "model/token_set.h"
#include "model/tokenizer.h"

namespace tandem::model {

/// Whether an answer thinks before it says what the grammar wants.
enum class ThoughtFirst {
  no,       ///< it begins with content
  maybe,    ///< it may begin with <|channel>
  is_open,  ///< the prompt has opened the thought channel (AnswerStart::in_thought)
};

/// Holds the content of an answer to a grammar; a thought before it is free, but for ending the answer
/// or beginning a call.
class AnswerConstraint {
 public:
  /// `begun`: what of the grammar's text the prompt holds already, so without a thought.  The tokenizer
  /// outlives the constraint.  Throws GrammarError where the grammar does not begin so.
  AnswerConstraint(std::shared_ptr<GrammarMasks> masks, const Tokenizer& tokenizer, ThoughtFirst thought,
                   std::string_view begun = {});

  /// What may come next; valid until the next call of a member.  Throws as GrammarMatcher does.
  const TokenSet& allowed();

  /// True where `allowed` takes little: see GrammarMatcher::allowed_at_once.  Throws as `allowed` does.
  bool knows_allowed() { return state_ != State::content || matcher_.allowed_at_once() != nullptr; }

  /// Takes `token`; false, and nothing changes, if it is not allowed.
  bool accept(TokenId token);

 private:
  enum class State { beginning, thought, content };

  GrammarMatcher matcher_;
  std::optional<TokenId> thought_begin_;
  std::optional<TokenId> thought_end_;
  State state_ = State::content;
  TokenSet in_thought_;
  TokenSet at_beginning_;
};

}  // namespace tandem::model
