#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/answer_parser.h"
#include "model/chat_template.h"
#include "model/detokenizer.h"

namespace tandem::model {

/// Turns the tokens of an answer into content, reasoning and tool calls, as they come.
///
/// It reads token ids, not text: files type the markers as user-defined (then a detokenizer shows them) or as
/// control tokens (then it hides them), and ordinary tokens may spell a marker, which means nothing.  So feed
/// it every token that the engine delivers, those that end the answer included or not, and take the answer's
/// text from here and not from the engine.  Stop strings belong after it, on the content: a StopMatcher there
/// never cuts a call or a thought.
class ChatParser {
 public:
  /// `start` is ChatPrompt::answer, `call_depth` as read_tool_call takes it.  The tokenizer outlives the
  /// parser.
  ChatParser(const Tokenizer& tokenizer, ChatTemplate format, const AnswerStart& start,
             std::size_t call_depth = kCallDepth);

  /// What is certain after `token`; often nothing.  Holds until the next call, and may be moved from.
  std::span<AnswerEvent> push(TokenId token);
  /// What was held back, at the end of the answer.
  std::span<AnswerEvent> finish();
  /// True outside of thoughts and calls, as far as is known.
  [[nodiscard]] bool in_content() const noexcept { return answer_.in_content(); }
  [[nodiscard]] bool in_thought() const noexcept { return answer_.in_thought(); }

 private:
  [[nodiscard]] std::optional<Marker> marker_of(TokenId token) const;

  const Tokenizer* tokenizer_;
  Detokenizer detokenizer_;
  std::string piece_;  ///< what is complete after a token
  AnswerParser answer_;
  std::vector<std::pair<TokenId, Marker>> markers_;
};

}  // namespace tandem::model
