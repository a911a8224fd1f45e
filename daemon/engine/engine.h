#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "daemon/engine/executor.h"
#include "daemon/engine/mask_finder.h"
#include "daemon/engine/rate_window.h"
#include "daemon/engine/request.h"
#include "daemon/engine/sink.h"
#include "daemon/scheduler/scheduler.h"
#include "model/tokenizer.h"

namespace tandem::engine {

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
  std::uint64_t submitted = 0;  ///< requests
  std::uint64_t finished_stop = 0;
  std::uint64_t finished_length = 0;
  std::uint64_t finished_cancelled = 0;
  std::uint64_t finished_error = 0;
  std::uint64_t prompt_tok = 0;     ///< prompt rows computed
  std::uint64_t generated_tok = 0;  ///< tokens sampled
  std::uint64_t prompt_steps = 0;   ///< micro-batches with prompt rows in them
  std::uint64_t decode_steps = 0;   ///< micro-batches of decode rows only
  std::uint64_t prompt_us = 0;      ///< in the executor, prompt_steps
  std::uint64_t decode_us = 0;      ///< in the executor, decode_steps
  std::uint64_t deliver_us = 0;     ///< choosing tokens and making text, all steps
  BytesRead prompt_bytes;           ///< read in prompt_steps
  BytesRead decode_bytes;           ///< read in decode_steps
  std::uint64_t queued = 0;         ///< gauge
  std::uint64_t running = 0;        ///< gauge: sequences that hold a slot
  std::uint64_t free_pages = 0;     ///< gauge
  Rates now;                        ///< gauge
};

/// Serves requests: one worker asks the scheduler what is next, has the executor compute it, chooses tokens,
/// and hands text to the sinks.  A step that only decodes allocates nothing, once every sequence in it has
/// been in one before, also where one ends; but for what stop strings of more than 256 bytes hold back.  What
/// a grammar allows is known before a sequence is in a step:
/// one whose grammar takes long to say what may come next is in none meanwhile, and no other one waits for
/// that. Every public member may be called from any thread.  Idle means idle: without work the worker sleeps
/// until somebody calls.
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
  /// Waits until every request has finished, at most `limit`.  True if it came to that.
  [[nodiscard]] bool wait_idle(std::chrono::milliseconds limit) const;
  /// drain, ends what is left as cancelled and stops the worker.  The destructor does it too.
  void shutdown();

 private:
  struct Sequence;
  struct Ready;
  struct OnTheWay;
  using SequencePtr = std::shared_ptr<Sequence>;
  using Lock = std::unique_lock<std::mutex>;

  void forget(std::map<RequestId, SequencePtr>::iterator it);

  void work();
  void tell_cancelled(Lock& lock);
  std::uint64_t fill_rows(const scheduler::Step& step, Rows& rows);
  void want_best(const Generation& generation, Rows& rows);
  bool begin_step(Lock& lock);
  void finish_step(Lock& lock);
  void complete(const OnTheWay& done);
  void account_step(std::uint64_t prompt_tok, const BytesRead& bytes, std::uint64_t us);
  void deliver(const Ready& ready, const std::string& error);
  void advance(const Ready& ready);
  void go_on(const SequencePtr& sequence);
  void find_allowed(const SequencePtr& sequence);
  void let_go_found(Lock& lock);
  std::optional<FinishReason> account_token(Sequence& sequence);
  void give(Sequence& sequence);
  void end(Sequence& sequence, FinishReason reason, std::string error = {});
  void tell_finished(Sequence& sequence, FinishReason reason, std::string error);

  Executor& executor_;
  const model::Tokenizer& tokenizer_;
  const scheduler::Limits limits_;

  mutable std::mutex mutex_;                 ///< guards all down to rates_
  std::condition_variable changed_cv_;       ///< there is something for the worker
  mutable std::condition_variable idle_cv_;  ///< nothing is unfinished
  scheduler::Scheduler scheduler_;
  std::map<RequestId, SequencePtr> sequences_;  ///< queued and running
  std::vector<SequencePtr> cancelled_;          ///< the worker tells their sinks
  std::uint64_t unfinished_ = 0;                ///< submitted, and on_finish has not returned
  RequestId next_id_ = 1;
  bool changed_ = false;
  bool draining_ = false;
  bool stopping_ = false;
  Stats stats_;
  RateWindow rates_;

  std::vector<OnTheWay> steps_;  ///< the worker's: a ring of micro-batches being computed
  std::size_t oldest_ = 0;       ///< of these
  std::size_t on_the_way_ = 0;   ///< how many there are
  std::vector<Ready> ready_;     ///< the worker's: sequences of the micro-batch that came back last
  std::chrono::steady_clock::time_point last_back_;  ///< the worker's: when the last one came back
  const std::uint32_t choosable_;                    ///< tokens that have logits
  std::vector<model::LogitEdit> edits_;              ///< the worker's: of one row
  MaskFinder mask_finder_;
  std::once_flag joined_;
  std::thread worker_;  ///< last: it uses all of the above
};

}  // namespace tandem::engine
