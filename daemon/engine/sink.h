#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "model/sampling.h"
#include "model/text_room.h"
#include "model/tokenizer.h"
#include "model/tool_call_text.h"

namespace tandem::engine {

/// One token, generated or (where the prompt is scored) of the prompt, with its raw log-probability: before
/// suppression, penalties, temperature and truncation.
struct ScoredToken {
  model::TokenId token = 0;
  std::optional<float> logprob;          ///< none for the first token of a prompt
  std::vector<model::TokenLogprob> top;  ///< the most probable ones, best first, as many as asked for
};

/// Bytes of text that a token may give without anything being allocated; of a chat, as many as a call.  It is
/// a token's own text, and what was held back because it might have begun a stop string of up to 256 bytes.
inline constexpr std::size_t kRoomForText = 512;

/// Text that became complete, and the tokens it comes from.  Text may lag behind tokens: a character may
/// span several, and what may begin a stop string is held back.
struct TextDelta {
  std::string text;
  std::vector<model::TokenId> tokens;  ///< those of the prompt too where they are echoed
  /// One a token where log-probabilities were asked for, else empty; of a chat only those of the content.
  std::vector<ScoredToken> scores;
  std::string reasoning = {};                       ///< of a chat: thoughts; they come before `text`
  std::vector<model::ToolCall> calls = {};          ///< of a chat; they come after `text`
  std::vector<model::TokenLogprob> spare_top = {};  ///< the `top` of the next score, or memory for it
  model::ToolCall spare_call = {};  ///< memory for the next call, or for a text that turns out to be none

  /// For `bytes` more of text.
  void make_room(std::size_t bytes) { model::take_room(text, bytes, spare_call.arguments); }
  /// Empties it, and keeps its memory.
  void clear() noexcept {
    text.clear();
    tokens.clear();
    if (!scores.empty()) spare_top = std::move(scores.front().top);
    scores.clear();
    reasoning.clear();
    if (!calls.empty()) spare_call = std::move(calls.front());
    calls.clear();
    if (text.capacity() >= model::kRoomForArguments) text.swap(spare_call.arguments);
  }
};

enum class FinishReason { stop, length, cancelled, error };

/// Counts and times of one request.
struct Usage {
  std::uint64_t prompt_tok = 0;
  std::uint64_t completion_tok = 0;     ///< the token that ended the answer included
  std::uint64_t queue_us = 0;           ///< from submission to the first micro-batch
  std::uint64_t prompt_us = 0;          ///< from there to the first sampled token
  std::uint64_t decode_us = 0;          ///< from there to the end
  std::uint64_t decode_step_us = 0;     ///< in the executor, in micro-batches of decode rows only
  std::uint64_t decode_read_bytes = 0;  ///< weights and KV that those read, for all sequences in them
  std::uint64_t thought_tok = 0;        ///< of completion_tok, those of thoughts; their markup does not count
};

struct Finished {
  FinishReason reason = FinishReason::stop;
  Usage usage;
  std::string error;             ///< what went wrong, where reason is error
  std::string stop_string = {};  ///< the one that ended the answer, empty if none did
};

/// Where the engine puts what one request produces.  The on_ members are called on the engine's worker and
/// must return quickly; on_finish is the last call, and comes exactly once for every submitted request.  An
/// exception from on_progress or on_text ends the request with an error.
class Sink {
 public:
  Sink() = default;
  virtual ~Sink() = default;
  Sink(const Sink&) = delete;
  Sink& operator=(const Sink&) = delete;

  /// The prompt is being computed: `done_tok` of `total_tok`.
  virtual void on_progress(std::uint64_t done_tok, std::uint64_t total_tok) = 0;
  virtual void on_text(const TextDelta& delta) = 0;
  virtual void on_finish(Finished finished) noexcept = 0;

  /// False when the reader lags: the sequence pauses until Engine::resume is called for it.  Whoever reads
  /// calls that after making room.
  [[nodiscard]] virtual bool has_room() const = 0;
};

}  // namespace tandem::engine
