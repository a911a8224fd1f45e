#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/answer_constraint.h"
#include "model/answer_parser.h"
#include "model/chat_template.h"
#include "model/error.h"
#include "model/sampling.h"
#include "model/tokenizer.h"

namespace tandem::engine {

/// The answer is a message of a chat, to be taken apart into content, thoughts and calls.
struct ChatReading {
  model::ChatTemplate format = model::ChatTemplate::gemma3;
  model::AnswerStart start;
  bool ends_after_call = false;                ///< the first call is the answer's end
  std::size_t call_depth = model::kCallDepth;  ///< a call whose arguments nest deeper is text
};

/// The answer keeps to a grammar.
struct Constraint {
  /// Requests share one.
  std::shared_ptr<model::GrammarMasks> masks;
  model::ThoughtFirst thought = model::ThoughtFirst::no;
  std::string begun;  ///< what of the grammar's text the prompt holds already
};

/// One sequence to be generated.  Values are in their declared ranges (the wire checks them).
struct EngineRequest {
  std::string name;   ///< what the client calls it; not used here but in Engine::requests and find
  std::string owner;  ///< likewise
  std::vector<model::TokenId> prompt;
  std::uint64_t max_new_tok = 16;  ///< 0: nothing is generated, the prompt is only run (and scored)
  model::SamplingParams sampling;
  std::vector<std::string> stop;
  std::optional<std::uint32_t> logprobs;  ///< score every token that comes out, with this many alternatives
  bool echo = false;                      ///< the prompt's tokens and text come out first
  std::optional<ChatReading> chat;        ///< none: the answer is plain text
  std::optional<Constraint> constraint;   ///< none: every token may come
};

/// A request the engine cannot take; nothing has changed.
class RequestRefused : public Error {
 public:
  enum class Reason { queue_full, draining, prompt_empty, prompt_too_long, token_out_of_range };

  RequestRefused(Reason reason, const std::string& what) : Error(what), reason_(reason) {}
  [[nodiscard]] Reason reason() const noexcept { return reason_; }

 private:
  Reason reason_;
};

/// Throws RequestRefused unless `prompt` has 1 to `max_seq_len` tokens, all of them less than `vocab`.
void check_prompt(std::span<const model::TokenId> prompt, std::uint64_t max_seq_len, std::uint32_t vocab);

}  // namespace tandem::engine
