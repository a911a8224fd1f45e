#include "daemon/engine/engine.h"

#include <algorithm>
#include <string>
#include <utility>

#include "daemon/engine/engine_parts.h"
#include "planner/activations.h"

namespace tandem::engine {

Engine::Engine(Executor& executor, const model::Tokenizer& tokenizer, const scheduler::Limits& limits)
    : executor_(executor),
      tokenizer_(tokenizer),
      limits_(limits),
      scheduler_(limits),
      choosable_(std::min(executor.vocab(), tokenizer.size())),
      mask_finder_(limits.sequences, [this] {
        const std::lock_guard lock(mutex_);
        changed_ = true;
        changed_cv_.notify_one();
      }) {
  edits_.reserve(planner::kMostEdits);
  steps_.reserve(limits.steps);
  while (steps_.size() < limits.steps) steps_.emplace_back(limits);
  ready_.reserve(limits.sequences);
  worker_ = std::thread([this] { work(); });
}

Engine::~Engine() {
  shutdown();
}

RequestId Engine::submit(EngineRequest request, std::shared_ptr<Sink> sink) {
  check_prompt(request.prompt, limits_.max_seq_len, choosable_);
  const auto sequence = std::make_shared<Sequence>(std::move(request), tokenizer_, std::move(sink));
  const auto& generation = sequence->generation;

  const std::lock_guard lock(mutex_);
  if (draining_) throw RequestRefused(RequestRefused::Reason::draining, "the daemon is shutting down");
  const auto id = next_id_;
  const scheduler::Request wanted{id, generation.request().prompt.size(), generation.request().max_new_tok,
                                  generation.scores_prompt(), generation.is_held()};
  if (!scheduler_.submit(wanted)) {
    throw RequestRefused(RequestRefused::Reason::queue_full,
                         std::to_string(limits_.max_queued) + " requests are waiting already");
  }
  sequence->id = id;
  sequences_.emplace(id, sequence);
  ++next_id_;
  ++unfinished_;
  ++stats_.submitted;
  changed_ = true;
  changed_cv_.notify_one();
  return id;
}

bool Engine::cancel(RequestId id) {
  const std::lock_guard lock(mutex_);
  const auto it = sequences_.find(id);
  if (it == sequences_.end()) return false;
  forget(it);
  return true;
}

void Engine::resume(RequestId id) {
  const std::lock_guard lock(mutex_);
  scheduler_.resume(id);
  changed_ = true;
  changed_cv_.notify_one();
}

std::optional<RequestId> Engine::find(std::string_view name) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [id, sequence] : sequences_) {
    if (sequence->generation.request().name == name) return id;
  }
  return std::nullopt;
}

std::vector<RequestView> Engine::requests() const {
  const std::lock_guard lock(mutex_);
  const auto now = Clock::now();
  std::vector<RequestView> views;
  for (const auto& view : scheduler_.sequences()) {
    const auto it = sequences_.find(view.id);
    if (it == sequences_.end()) continue;
    const auto& request = it->second->generation.request();
    views.push_back({view.id, request.name, request.owner, view.state, view.prompt_tok, view.prompt_done_tok,
                     view.new_tok, request.max_new_tok, us_between(it->second->submitted, now)});
  }
  return views;
}

Stats Engine::stats() const {
  const std::lock_guard lock(mutex_);
  auto stats = stats_;
  stats.queued = scheduler_.queued();
  stats.running = scheduler_.running();
  stats.free_pages = scheduler_.free_pages();
  stats.now = rates_.rates(steady_us(Clock::now()));
  return stats;
}

void Engine::drain() {
  const std::lock_guard lock(mutex_);
  draining_ = true;
}

bool Engine::wait_idle(std::chrono::milliseconds limit) const {
  Lock lock(mutex_);
  return idle_cv_.wait_for(lock, limit, [this] { return unfinished_ == 0; });
}

void Engine::shutdown() {
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    stopping_ = true;
    while (!sequences_.empty()) forget(sequences_.begin());
    changed_ = true;
    changed_cv_.notify_one();
  }
  std::call_once(joined_, [this] { worker_.join(); });
}

/// Takes a request out of the engine as cancelled.  Its sink is told by the worker, so that nothing comes
/// after on_finish.
void Engine::forget(std::map<RequestId, SequencePtr>::iterator it) {
  scheduler_.cancel(it->first);
  cancelled_.push_back(std::move(it->second));
  sequences_.erase(it);
  changed_ = true;
  changed_cv_.notify_one();
}

}  // namespace tandem::engine
