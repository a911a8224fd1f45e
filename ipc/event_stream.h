#pragma once

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace tandem::ipc {

struct TokenLogprob {
  std::int32_t token = 0;
  std::string text;  ///< the token's own bytes, made printable
  float logprob = 0.0f;
};

/// Scores of one token, generated or (echo) of the prompt.
struct ScoredToken {
  TokenLogprob chosen;
  bool has_logprob = true;  ///< false for the first token of a prompt
  std::vector<TokenLogprob> top;
};

/// The prompt is being computed.
struct PromptProgress {
  std::uint64_t done_tok = 0;
  std::uint64_t total_tok = 0;
};

/// Text that became complete, and the tokens sampled since the last event (text may lag behind tokens).
struct TextDelta {
  std::string text;
  std::vector<std::int32_t> tokens;
  std::vector<ScoredToken> scores;  ///< if logprobs were asked for
};

enum class FinishReason { stop, length, cancelled, error };

/// Counts and times of a finished request.
struct Usage {
  std::uint64_t prompt_tok = 0;
  std::uint64_t completion_tok = 0;
  std::uint64_t queue_us = 0;
  std::uint64_t prompt_us = 0;
  std::uint64_t decode_us = 0;
};

struct Finished {
  FinishReason reason = FinishReason::stop;
  Usage usage;
  std::string error;  ///< text, where reason is error
};

using StreamEvent = std::variant<PromptProgress, TextDelta, Finished>;

/// A bounded queue from the engine to one client.  The engine never waits: when it is full the sequence
/// pauses until the client has read.  Thread-safe.
class EventStream {
 public:
  explicit EventStream(std::size_t capacity) : capacity_(capacity) {}
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  /// Engine: appends.  Finished is always accepted.  Progress replaces unread progress.  The reader is
  /// notified.
  void push(StreamEvent event);
  /// Engine: true if fewer than `capacity` events wait.
  [[nodiscard]] bool has_room() const;

  /// Reader: all that waits, in order.
  std::vector<StreamEvent> drain();
  /// Reader: `wake` is called, on the engine's thread, after a push.  Set before the request is submitted.
  void on_push(std::function<void()> wake);
  /// Engine: `wake` is called, on the reader's thread, when a full queue has been drained.
  void on_drain(std::function<void()> wake);

 private:
  mutable std::mutex mutex_;
  std::size_t capacity_;
  std::vector<StreamEvent> events_;
  std::function<void()> on_push_;
  std::function<void()> on_drain_;
};

}  // namespace tandem::ipc
