#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/engine/executor.h"
#include "daemon/engine/sink.h"
#include "daemon/scheduler/scheduler.h"
#include "model/error.h"
#include "model/sampling.h"
#include "model/tokenizer.h"

namespace tandem::engine {

using scheduler::RequestId;

/// One sequence to be generated.  Values are in their declared ranges (the wire checks them).
struct EngineRequest {
  std::string name;   ///< what the client calls it; not used here but in requests()
  std::string owner;  ///< likewise
  std::vector<model::TokenId> prompt;
  std::uint64_t max_new_tok = 16;  ///< 0 with score_prompt: only scores
  model::SamplingParams sampling;
  std::vector<std::string> stop;
  std::optional<std::uint32_t> logprobs;  ///< alternatives a token
  bool score_prompt = false;              ///< the prompt's tokens, text and scores come out first ("echo")
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

/// A request as an observer sees it.
struct RequestView {
  RequestId id = 0;
  std::string name;
  std::string owner;
  scheduler::State state = scheduler::State::queued;
  std::uint64_t prompt_tok = 0;
  std::uint64_t prompt_done_tok = 0;
  std::uint64_t completion_tok = 0;
  std::uint64_t max_new_tok = 0;
  std::uint64_t age_us = 0;  ///< since submission
};

/// Counters since the start, and gauges of this moment.
struct Stats {
  std::uint64_t requests = 0;  ///< submitted
  std::uint64_t finished_stop = 0;
  std::uint64_t finished_length = 0;
  std::uint64_t finished_cancelled = 0;
  std::uint64_t finished_error = 0;
  std::uint64_t prompt_tok = 0;     ///< prompt rows computed
  std::uint64_t generated_tok = 0;  ///< tokens sampled
  std::uint64_t prompt_steps = 0;   ///< micro-batches with prompt rows in them
  std::uint64_t decode_steps = 0;   ///< micro-batches of decode rows only
  std::uint64_t prompt_us = 0;      ///< time in prompt_steps
  std::uint64_t decode_us = 0;      ///< time in decode_steps
  std::uint64_t sample_us = 0;      ///< time choosing tokens and making text, all steps
  BytesRead prompt_bytes;           ///< read in prompt_steps
  BytesRead decode_bytes;           ///< read in decode_steps
  std::uint64_t queued = 0;         ///< gauge
  std::uint64_t running = 0;        ///< gauge: sequences that hold a slot
  std::uint64_t free_pages = 0;     ///< gauge
};

/// Serves requests: one worker asks the scheduler what is next, has the executor compute it, samples, and
/// hands text to the sinks.  Every public member may be called from any thread.  Idle means idle: without
/// work the worker sleeps until somebody calls.
class Engine {
 public:
  /// `executor` and `tokenizer` outlive the engine.  `limits` come from the plan that the executor runs.
  Engine(Executor& executor, const model::Tokenizer& tokenizer, const scheduler::Limits& limits);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  /// Queues a request.  Throws RequestRefused.
  RequestId submit(EngineRequest request, std::shared_ptr<Sink> sink);
  /// Ends a request wherever it is, at the latest after the micro-batch being computed; its sink gets
  /// Finished{cancelled}.  False if there is none with this id.
  bool cancel(RequestId id);
  /// The sink of `id` has room again.  Unknown ids are ignored: the request may just have ended.
  void resume(RequestId id);

  /// The id of the unfinished request with this name.
  [[nodiscard]] std::optional<RequestId> find(std::string_view name) const;
  [[nodiscard]] std::vector<RequestView> requests() const;  ///< running ones by slot, then the queue in order
  [[nodiscard]] Stats stats() const;

  /// From now on submit refuses; what is queued or running goes on.
  void drain();
  /// Waits until nothing is queued or running, at most `limit`.  True if it came to that.
  bool wait_idle(std::chrono::milliseconds limit) const;
  /// drain, ends everything as cancelled and stops the worker.  The destructor does it too.
  void shutdown();

 private:
  struct Sequence;
  using Clock = std::chrono::steady_clock;

  void work();
  void end_cancelled(std::unique_lock<std::mutex>& lock);
  void compute(const scheduler::Step& step);
  void deliver(const scheduler::Step& step);

  Executor& executor_;
  const model::Tokenizer& tokenizer_;
  const scheduler::Limits limits_;

  mutable std::mutex mutex_;
  std::condition_variable changed_cv_;       ///< something for the worker
  mutable std::condition_variable idle_cv_;  ///< a request ended
  scheduler::Scheduler scheduler_;
  std::map<RequestId, std::shared_ptr<Sequence>> sequences_;
  RequestId next_id_ = 1;
  bool changed_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  Stats stats_;

  Rows rows_;  ///< of the worker
  std::vector<float>
      raw_;             ///< (vocab) of the worker: logits as they came, where log-probabilities are asked for
  std::thread worker_;  ///< last: it uses all of the above
};

}  // namespace tandem::engine
