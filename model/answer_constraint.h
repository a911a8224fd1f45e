#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
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
  /// Masks that are kept of an answer, one bit a token: what its grammar and what a thought allows.
  static constexpr std::size_t kMasks = 2;

  /// `begun`: what of the grammar's text the prompt holds already, so without a thought.  `memory` gives
  /// kMasks masks, a multiple of 8 bytes each; it and the tokenizer outlive the constraint.  Throws
  /// GrammarError where the grammar does not begin so.
  AnswerConstraint(std::shared_ptr<GrammarMasks> masks, const Tokenizer& tokenizer, ThoughtFirst thought,
                   std::string_view begun = {},
                   std::pmr::memory_resource* memory = std::pmr::get_default_resource());

  /// What may come next; valid until the next call of a member.  Throws as GrammarMatcher does.
  const TokenSet& allowed();

  /// True where `allowed` takes little: see GrammarMatcher::allowed_at_once.  Throws as `allowed` does.
  bool knows_allowed() { return state_ != State::content || matcher_.allowed_at_once() != nullptr; }

  /// Takes `token`; false, and nothing changes, if it is not allowed.
  bool accept(TokenId token);

 private:
  enum class State { beginning, thought, content };

  void begin_thought();

  const Tokenizer& tokenizer_;
  GrammarMatcher matcher_;
  std::optional<TokenId> thought_begin_;
  std::optional<TokenId> thought_end_;
  State state_ = State::content;
  TokenSet before_content_;  ///< what may come at the beginning, or in the thought
};

}  // namespace tandem::model
