#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "daemon/engine/request.h"
#include "daemon/engine/sink.h"
#include "model/chat_parser.h"
#include "model/detokenizer.h"
#include "model/stop_matcher.h"

namespace tandem::engine {

/// Turns the tokens of one answer into text, and of a chat into thoughts and calls too, up to a stop string.
/// Stop strings are looked for in the content only: they never cut a thought or a call.
class AnswerText {
 public:
  /// `tokenizer` outlives the object.
  AnswerText(const model::Tokenizer& tokenizer, const EngineRequest& request);

  /// Appends what is complete after `token` of the prompt, which comes out before the answer, to `text`.
  void echo(model::TokenId token, std::string& text) { detokenizer_.push(token, text); }

  /// Adds what is complete after `token` to `delta`.  False for tokens that are not of the text: those of a
  /// chat's thoughts, calls and markup.
  bool push(model::TokenId token, TextDelta& delta);
  /// Adds what was held back, when nothing more comes.
  void finish(TextDelta& delta);

  /// A stop string came, or the one call that was wanted: what follows is left out.
  [[nodiscard]] bool stopped() const noexcept { return stops_.stopped() || called_; }
  [[nodiscard]] const std::string& stop_string() const noexcept { return stops_.found(); }
  /// Tokens of thoughts so far, without those that only mark them.
  [[nodiscard]] std::uint64_t thought_tok() const noexcept { return thought_tok_; }

 private:
  void add(std::span<model::AnswerEvent> events, TextDelta& delta);

  const model::Tokenizer& tokenizer_;
  model::Detokenizer detokenizer_;         ///< of plain text
  std::optional<model::ChatParser> chat_;  ///< of a chat
  std::string piece_;                      ///< what is complete after a token
  model::StopMatcher stops_;
  bool ends_after_call_ = false;
  bool called_ = false;  ///< and that ended the answer
  std::uint64_t thought_tok_ = 0;
};

}  // namespace tandem::engine
