#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ipc/limits.h"

namespace tandem::ipc {

struct TokenLogprob {
  std::int32_t token = 0;
  std::string text;  ///< the token's own bytes, which may be part of a character; a control token's name
  float logprob = 0.0f;
};

/// Scores of one token, generated or (echo) of the prompt.
struct ScoredToken {
  TokenLogprob chosen;
  bool has_logprob = true;  ///< false for the first token of a prompt
  bool in_text = true;      ///< false for control tokens, which leave nothing in the text
  std::vector<TokenLogprob> top;
};

/// The prompt is being computed.
struct PromptProgress {
  std::uint64_t done_tok = 0;
  std::uint64_t total_tok = 0;
};

/// A call that the model made, whole.  It has no id: the dialect that sends it on names it.
struct ToolCall {
  std::string name;
  std::string arguments;  ///< text of a JSON object
};

/// Text that became complete, and the tokens it comes from since the last event (text may lag behind
/// tokens).  All texts are valid UTF-8.  With echo the prompt comes first, in the same form.
///
/// The answer of a chat comes in three parts; where one delta has several, they belong in the order
/// reasoning, text, calls.
struct TextDelta {
  std::string text;                  ///< of a chat: content
  std::vector<std::int32_t> tokens;  ///< all there were, markup and thoughts included
  /// One a token where log-probabilities were asked for, else empty; of a chat only those of the content.
  std::vector<ScoredToken> scores;
  std::string reasoning = {};        ///< of a chat: thoughts
  std::vector<ToolCall> calls = {};  ///< of a chat
};

enum class FinishReason {
  stop,        ///< the model ended its answer, or a stop string came
  length,      ///< max_tokens, or the context is full
  tool_calls,  ///< the model ended its answer after at least one call
  cancelled,
  error
};

/// Counts and times of a finished request.
struct Usage {
  std::uint64_t prompt_tok = 0;
  std::uint64_t completion_tok = 0;
  std::uint64_t queue_us = 0;
  std::uint64_t prompt_us = 0;
  std::uint64_t decode_us = 0;
  double decode_gb_per_s = 0.0;  ///< weights and KV read while decoding, 10^9 bytes a second; 0 if not known
  std::uint64_t reasoning_tok = 0;  ///< of completion_tok, those of thoughts; their markup does not count
};

struct Finished {
  FinishReason reason = FinishReason::stop;
  Usage usage;
  std::string error;             ///< text, where reason is error
  std::string stop_string = {};  ///< the one that ended the answer, empty if none did
};

using StreamEvent = std::variant<PromptProgress, TextDelta, Finished>;

/// Up to so many things that have memory, made ahead by one who waits for nobody else.
template <class T>
class Spares {
 public:
  explicit Spares(std::size_t most) : most_(most) { ready_.reserve(most); }

  [[nodiscard]] std::size_t missing() const noexcept { return most_ - ready_.size(); }
  /// Has that many in store for the next `refill`; whoever makes them needs no lock for that.
  template <class Make>
  void store(std::size_t missing, Make make) {
    while (stored_.size() < missing) stored_.push_back(make());
  }
  /// False if more are missing now than are in store.
  bool refill() noexcept {
    for (; ready_.size() < most_ && !stored_.empty(); stored_.pop_back()) {
      ready_.push_back(std::move(stored_.back()));
    }
    return missing() == 0;
  }
  /// One without memory where there is none.
  T take() noexcept {
    if (ready_.empty()) return {};
    T taken = std::move(ready_.back());
    ready_.pop_back();
    return taken;
  }

 private:
  std::size_t most_;
  std::vector<T> ready_;   ///< has room for all
  std::vector<T> stored_;  ///< of whoever makes them
};

/// A bounded queue from the engine to one client.  The engine never waits: when it is full the sequence
/// pauses until the client has read.  Thread-safe; the callbacks run without the lock, on the thread whose
/// call caused them, and must not throw.
class EventStream {
 public:
  static constexpr std::size_t kSpareDeltas = kMostQueuedEvents;
  static constexpr std::size_t kRoomForText = 512;
  static constexpr std::size_t kRoomForToken = 64;
  static constexpr std::size_t kSpareCalls = kSpareDeltas / 5;  ///< a call is at least that many tokens
  static constexpr std::size_t kRoomForName = 128;
  /// Of which the system gives what is written to: of one call that began before the last drain,
  static constexpr std::size_t kRoomForArguments = std::size_t{6} << 20;
  /// and of the others, of kSpareDeltas tokens together.
  static constexpr std::size_t kRoomForShortArguments = std::size_t{256} << 10;

  /// Whether calls may come.
  enum class Calls { no, maybe };

  /// `capacity`: kMostQueuedEvents or fewer.  `top_scores`: alternatives that each token's scores will have;
  /// none: no scores.
  explicit EventStream(std::size_t capacity, std::optional<std::uint32_t> top_scores = std::nullopt,
                       Calls calls = Calls::no);
  EventStream(const EventStream&) = delete;
  EventStream& operator=(const EventStream&) = delete;

  /// Reader, before the request is submitted: `wake` is called after every push that gave the reader
  /// something new to see.
  void on_push(std::function<void()> wake) { on_push_ = std::move(wake); }
  /// Engine, before the first push: `wake` is called after the drain that follows a refusing has_room().
  void on_drain(std::function<void()> wake) { on_drain_ = std::move(wake); }

  /// Engine: appends.  Text and Finished are always accepted (has_room() is the engine's to ask); progress
  /// replaces progress that nobody has read.
  void push(StreamEvent event);
  /// Engine: an empty delta to push, with room for kRoomForText bytes, or for `text_bytes` if calls may come:
  /// the memory of one that did not, see `spare_call`.  While no more than kSpareDeltas wait, neither this
  /// nor the push allocates: the reader's drain makes new ones.
  TextDelta spare(std::size_t text_bytes = 0);
  /// Engine: scores of a token to put there, with room for kRoomForToken bytes of each token's text and
  /// `top_scores` alternatives that mean nothing yet.
  ScoredToken spare_scores();
  /// Engine: a call to put there, with room for kRoomForName bytes of its name and `argument_bytes` of its
  /// arguments, if calls may come: of kSpareCalls between two drains, of which one may have more than
  /// kRoomForShortArguments, up to kRoomForArguments.
  ToolCall spare_call(std::size_t argument_bytes);
  /// Engine: true if fewer than `capacity` events wait.  After false, on_drain's callback is certain to come.
  [[nodiscard]] bool has_room();

  /// Reader, one thread: all that waits, in order.
  std::vector<StreamEvent> drain();
  /// Reader: nobody will read any more; what waits and what comes is dropped.
  void abandon();

 private:
  ToolCall take_call(std::size_t argument_bytes);
  bool replace_progress(const StreamEvent& event);
  [[nodiscard]] std::vector<StreamEvent> room_for_events() const;
  [[nodiscard]] TextDelta delta_with_room() const;
  [[nodiscard]] ScoredToken scores_with_room() const;
  [[nodiscard]] static ToolCall call_with_room(std::size_t argument_bytes);
  void make_spares();
  [[nodiscard]] bool refill() noexcept;

  const std::size_t capacity_;
  const std::optional<std::uint32_t> top_scores_;
  const Calls calls_;
  std::function<void()> on_push_;
  std::function<void()> on_drain_;

  std::mutex mutex_;
  std::vector<StreamEvent> events_;
  Spares<TextDelta> spares_{kSpareDeltas};
  Spares<ScoredToken> spare_scores_;
  Spares<ToolCall> spare_calls_;  ///< short ones
  Spares<ToolCall> spare_long_calls_;
  bool engine_waits_ = false;
  bool abandoned_ = false;
};

}  // namespace tandem::ipc
