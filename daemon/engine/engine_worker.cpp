#include <algorithm>
#include <exception>
#include <string>
#include <utility>

#include "daemon/engine/engine.h"
#include "daemon/engine/engine_parts.h"

// What an engine's worker does: micro-batches begin, come back and are handed on, until nothing is left.
namespace tandem::engine {
namespace {

std::uint64_t& counter_of(Stats& stats, FinishReason reason) noexcept {
  switch (reason) {
    case FinishReason::stop:
      return stats.finished_stop;
    case FinishReason::length:
      return stats.finished_length;
    case FinishReason::cancelled:
      return stats.finished_cancelled;
    case FinishReason::error:
      break;
  }
  return stats.finished_error;
}

}  // namespace

void Engine::work() {
  executor_.start();
  Lock lock(mutex_);
  while (true) {
    tell_cancelled(lock);
    let_go_found(lock);
    if (on_the_way_ < limits_.steps && begin_step(lock)) continue;
    if (on_the_way_ > 0) {
      finish_step(lock);
      continue;
    }
    if (stopping_ && cancelled_.empty()) return;
    changed_cv_.wait(lock, [this] { return changed_; });
    changed_ = false;
  }
}

void Engine::tell_cancelled(Lock& lock) {
  while (!cancelled_.empty()) {
    const auto told = std::exchange(cancelled_, {});
    lock.unlock();
    for (const auto& sequence : told) tell_finished(*sequence, FinishReason::cancelled, {});
    lock.lock();
  }
}

/// Sets the next micro-batch on its way; false if there is none.
bool Engine::begin_step(Lock& lock) {
  auto& begun = steps_[(oldest_ + on_the_way_) % steps_.size()];
  scheduler_.next(begun.step);
  for (const auto id : scheduler_.admitted()) {
    const auto& sequence = sequences_.at(id);
    if (!sequence->generation.is_held()) continue;
    sequence->generation.keep_masks_in(executor_.masks(scheduler_.slot(id)));
    find_allowed(sequence);
  }
  if (begun.step.empty()) return false;
  ++on_the_way_;
  begun.prompt_tok = fill_rows(begun.step, begun.rows);
  begun.begun = Clock::now();
  if (on_the_way_ == 1) rates_.begin(steady_us(begun.begun));
  lock.unlock();
  executor_.begin(begun.rows);
  lock.lock();
  return true;
}

/// Waits for the oldest micro-batch and hands on what it gave.  Its time counts from when the one before was
/// back: they overlap.
void Engine::finish_step(Lock& lock) {
  lock.unlock();
  BytesRead bytes;
  std::string error;
  try {
    bytes = executor_.finish();
  } catch (const std::exception& failure) {
    error = failure.what();
  }
  const auto computed = Clock::now();

  lock.lock();
  const auto& done = steps_[oldest_];
  oldest_ = (oldest_ + 1) % steps_.size();
  --on_the_way_;
  complete(done);
  const auto step_us = us_between(std::max(done.begun, last_back_), computed);
  last_back_ = computed;
  account_step(done.prompt_tok, bytes, step_us);
  rates_.end(steady_us(computed), done.prompt_tok, bytes.weights + bytes.kv);
  if (on_the_way_ > 0) rates_.begin(steady_us(computed));
  lock.unlock();
  for (const auto& part : ready_) {
    if (done.prompt_tok == 0) part.sequence->account_decode(bytes, step_us);
    deliver(part, error);
  }
  ready_.clear();

  lock.lock();
  stats_.deliver_us += us_between(computed, Clock::now());
}

void Engine::account_step(std::uint64_t prompt_tok, const BytesRead& bytes, std::uint64_t us) {
  const bool with_prompt = prompt_tok > 0;
  stats_.prompt_tok += prompt_tok;
  ++(with_prompt ? stats_.prompt_steps : stats_.decode_steps);
  (with_prompt ? stats_.prompt_us : stats_.decode_us) += us;
  (with_prompt ? stats_.prompt_bytes : stats_.decode_bytes) += bytes;
}

/// Makes `rows` of `step`; returns how many of them are prompt rows.  Page tables stay in place while a
/// sequence holds its slot, and it does until all its steps are `completed`.
std::uint64_t Engine::fill_rows(const scheduler::Step& step, Rows& rows) {
  std::uint64_t prompt_tok = 0;
  rows.tokens.clear();
  rows.sequences.clear();
  rows.wanted.clear();
  rows.best.clear();
  rows.edits.clear();
  rows.choosable = choosable_;
  const auto now = Clock::now();
  rows.streamed = step.streamed;
  for (const auto& work : step.work) {
    auto& sequence = *sequences_.at(work.id);
    if (!sequence.started) sequence.started = now;
    const auto first_row = static_cast<std::uint32_t>(rows.tokens.size());
    auto& part = rows.sequences.emplace_back();
    part.slot = work.slot;
    part.first_row = first_row;
    part.rows = work.rows;
    part.first_position = work.first_position;
    part.pages = scheduler_.pages(work.id).data();
    for (std::uint32_t i = 0; i < work.rows; ++i) {
      rows.tokens.push_back(sequence.generation.token_at(work.first_position + i));
    }
    for (auto i = work.rows - work.logit_rows; i < work.rows; ++i) rows.wanted.push_back(first_row + i);
    rows.best.resize(rows.wanted.size(), 0);
    if (work.logit_rows > 0 && executor_.reduces()) want_best(sequence.generation, rows);
    if (sequence.generation.in_prompt(work.first_position)) prompt_tok += work.rows;
  }
  return prompt_tok;
}

/// Asks for no more of the last wanted row, from which `generation` chooses, than that takes.
void Engine::want_best(const Generation& generation, Rows& rows) {
  rows.best.back() = generation.best_wanted(choosable_);
  if (rows.best.back() == 0) return;
  const auto row = static_cast<std::uint32_t>(rows.best.size() - 1);
  generation.edits(choosable_, edits_);
  for (const auto& edit : edits_) {
    rows.edits.push_back({row, static_cast<std::uint32_t>(edit.token), edit.added, edit.penalty,
                          edit.subtracted, edit.forbidden ? 1U : 0U});
  }
}

/// Makes `ready_` the parts of the step whose sequences were not cancelled meanwhile.
void Engine::complete(const OnTheWay& done) {
  scheduler_.completed(done.step);
  std::uint32_t first_logits = 0;
  for (const auto& work : done.step.work) {
    const auto end_logits = first_logits + work.logit_rows;
    const bool reduced = work.logit_rows > 0 && done.rows.best[end_logits - 1] > 0;
    if (scheduler_.holds(work.id)) ready_.push_back({sequences_.at(work.id), work, first_logits, reduced});
    first_logits = end_logits;
  }
}

/// Hands on what `ready` gave, or that the step failed with `error`.
void Engine::deliver(const Ready& ready, const std::string& error) {
  try {
    if (!error.empty()) throw Error(error);
    advance(ready);
  } catch (const std::exception& failure) {
    end(*ready.sequence, FinishReason::error, failure.what());
  }
}

/// Progress, echoed prompt and the next token of one sequence, as far as its rows give them.
void Engine::advance(const Ready& ready) {
  auto& sequence = *ready.sequence;
  auto& generation = sequence.generation;
  const auto prompt_tok = generation.request().prompt.size();
  const bool in_prompt = generation.in_prompt(ready.work.first_position);
  const bool prompt_done = ready.end_position() >= prompt_tok;

  if (in_prompt) sequence.sink->on_progress(ready.end_position(), prompt_tok);
  if (in_prompt && generation.request().echo) {
    const auto logits_of = [&](std::uint32_t row) { return executor_.logits(ready.first_logits + row); };
    generation.echo(ready.work.first_position, ready.work.rows, logits_of, sequence.delta);
    give(sequence);
  }
  if (!prompt_done) return;
  if (generation.request().max_new_tok == 0) {
    generation.close(sequence.delta);
    if (!sequence.delta.text.empty()) give(sequence);
    return end(sequence, FinishReason::length);
  }

  const auto row = ready.first_logits + ready.work.logit_rows - 1;
  if (ready.reduced) {
    generation.choose_best(executor_.reduced(row), choosable_, sequence.delta);
  } else {
    generation.choose(executor_.logits(row), sequence.delta);
  }
  go_on(ready.sequence);
}

/// Hands on what the newest token gave, and sees to what may come next.
void Engine::go_on(const SequencePtr& sequence) {
  auto& generation = sequence->generation;
  if (!sequence->first_token) sequence->first_token = Clock::now();
  const auto reason = account_token(*sequence);
  if (reason) generation.close(sequence->delta);
  give(*sequence);
  if (reason) return end(*sequence, *reason);
  if (generation.knows_allowed()) return;
  const std::lock_guard lock(mutex_);
  if (!scheduler_.holds(sequence->id)) return;
  scheduler_.hold(sequence->id);
  find_allowed(sequence);
}

/// Has it found aside what the sequence's grammar allows next; the scheduler holds it meanwhile.
void Engine::find_allowed(const SequencePtr& sequence) {
  mask_finder_.want(sequence->id, {sequence, &sequence->generation});
}

/// Lets those go on of which it became known what is allowed.
void Engine::let_go_found(Lock& lock) {
  while (const auto id = mask_finder_.next_found()) {
    const auto found = sequences_.find(*id);
    if (found == sequences_.end()) continue;  // it was cancelled
    const auto sequence = found->second;
    scheduler_.let_go(*id);
    try {
      sequence->generation.check_found();
    } catch (const std::exception& failure) {
      lock.unlock();
      end(*sequence, FinishReason::error, failure.what());
      lock.lock();
    }
  }
}

/// Tells the scheduler of a chosen token; says why the sequence ends, if it does.
std::optional<FinishReason> Engine::account_token(Sequence& sequence) {
  const std::lock_guard lock(mutex_);
  ++stats_.generated_tok;
  rates_.generated();
  if (!scheduler_.holds(sequence.id)) return std::nullopt;
  const auto verdict = scheduler_.sampled(sequence.id);
  if (sequence.generation.stopped()) return FinishReason::stop;
  if (verdict == scheduler::Verdict::length) return FinishReason::length;
  return std::nullopt;
}

/// Hands the sequence's delta over; pauses the sequence if the reader lags.  The reader may make room at any
/// moment, so room is looked for again after the pause: whichever comes last resumes.
void Engine::give(Sequence& sequence) {
  sequence.sink->on_text(sequence.delta);
  sequence.delta.clear();
  if (sequence.sink->has_room()) return;
  {
    const std::lock_guard lock(mutex_);
    scheduler_.pause(sequence.id);
  }
  if (sequence.sink->has_room()) resume(sequence.id);
}

/// Ends a sequence unless it was cancelled meanwhile: then its sink is told so by tell_cancelled.
void Engine::end(Sequence& sequence, FinishReason reason, std::string error) {
  {
    const std::lock_guard lock(mutex_);
    if (sequences_.erase(sequence.id) == 0) return;
    scheduler_.finish(sequence.id);
  }
  tell_finished(sequence, reason, std::move(error));
}

void Engine::tell_finished(Sequence& sequence, FinishReason reason, std::string error) {
  {
    const std::lock_guard lock(mutex_);
    ++counter_of(stats_, reason);
  }
  sequence.sink->on_finish(
      {reason, sequence.usage(Clock::now()), std::move(error), sequence.generation.stop_string()});
  const std::lock_guard lock(mutex_);
  --unfinished_;
  if (unfinished_ == 0) idle_cv_.notify_all();
}

}  // namespace tandem::engine
