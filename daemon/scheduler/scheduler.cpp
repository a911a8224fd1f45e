#include "daemon/scheduler/scheduler.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "planner/batch_rows.h"

namespace tandem::scheduler {

std::string_view to_string(State state) noexcept {
  switch (state) {
    case State::queued:
      return "queued";
    case State::prompt:
      return "prompt";
    case State::decode:
      return "decode";
    case State::paused:
      return "paused";
  }
  return "unknown";
}

Scheduler::Scheduler(const Limits& limits) : limits_(limits), pool_(limits.pages), slots_(limits.sequences) {
  admitted_.reserve(limits.sequences);
  const auto require = [](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(what);
  };
  require(limits.sequences >= 1, "sequences must be at least 1");
  require(limits.micro_batch >= limits.sequences, "micro_batch must be at least sequences");
  require(limits.logit_rows >= limits.sequences, "logit_rows must be at least sequences");
  require(limits.steps >= 1, "steps must be at least 1");
  require(limits.max_seq_len >= 1 && limits.page_tok >= 1, "max_seq_len and page_tok must be at least 1");
  require(limits.pages >= (limits.max_seq_len - 1) / limits.page_tok + 1,
          "the pool must hold one whole sequence");
}

bool Scheduler::submit(const Request& request) {
  if (queue_.size() >= limits_.max_queued) return false;
  queue_.push_back(request);
  return true;
}

bool Scheduler::cancel(RequestId id) {
  const auto queued =
      std::find_if(queue_.begin(), queue_.end(), [id](const Request& r) { return r.id == id; });
  if (queued != queue_.end()) {
    queue_.erase(queued);
    return true;
  }
  const auto it = running_.find(id);
  if (it == running_.end() || it->second.cancelled) return false;
  it->second.cancelled = true;
  if (it->second.on_the_way == 0) release(id);
  return true;
}

void Scheduler::pause(RequestId id) {
  const auto it = running_.find(id);
  if (it != running_.end()) it->second.paused = true;
}

void Scheduler::resume(RequestId id) {
  const auto it = running_.find(id);
  if (it != running_.end()) it->second.paused = false;
}

void Scheduler::hold(RequestId id) {
  const auto it = running_.find(id);
  if (it != running_.end()) it->second.held = true;
}

void Scheduler::let_go(RequestId id) {
  const auto it = running_.find(id);
  if (it != running_.end()) it->second.held = false;
}

void Scheduler::next(Step& step) {
  admit();
  gather(!last_streamed_, step);
  if (step.empty()) gather(last_streamed_, step);
  if (step.empty()) return;
  last_streamed_ = step.streamed;
  auto& first_slot = first_slot_.at(step.streamed ? 1 : 0);
  first_slot = (first_slot + 1) % limits_.sequences;
}

Step Scheduler::next() {
  Step step;
  next(step);
  return step;
}

/// What there is to do on one of the ways.
void Scheduler::gather(bool streamed, Step& step) {
  step.work.clear();
  step.streamed = streamed;
  if (streamed && limits_.stream_rows == 0) return;
  Room room{limits_.micro_batch, limits_.logit_rows};
  if (!streamed) add_decode(step, room);
  add_prompts(step, room);
}

bool Scheduler::goes_streamed(const Work& work) const noexcept {
  return limits_.stream_rows > 0 && work.rows >= limits_.stream_rows;
}

void Scheduler::completed(const Step& step) {
  for (const auto& work : step.work) {
    auto& sequence = running_.at(work.id);
    --sequence.on_the_way;
    if (sequence.cancelled) {
      if (sequence.on_the_way == 0) release(work.id);
      continue;
    }
    sequence.committed_tok += work.rows;
    sequence.awaits_sample = !sequence.in_prompt();
  }
}

bool Scheduler::holds(RequestId id) const noexcept {
  const auto it = running_.find(id);
  return it != running_.end() && !it->second.cancelled;
}

Verdict Scheduler::sampled(RequestId id) {
  auto& sequence = running_.at(id);
  sequence.awaits_sample = false;
  ++sequence.new_tok;
  const bool enough = sequence.new_tok >= sequence.request.max_new_tok;
  const bool context_full = sequence.committed_tok >= limits_.max_seq_len;
  return enough || context_full ? Verdict::length : Verdict::running;
}

void Scheduler::finish(RequestId id) {
  cancel(id);
}

std::uint32_t Scheduler::slot(RequestId id) const {
  return running_.at(id).slot;
}

const std::vector<std::uint32_t>& Scheduler::pages(RequestId id) const {
  return running_.at(id).pages;
}

std::vector<SequenceView> Scheduler::sequences() const {
  std::vector<SequenceView> views;
  views.reserve(running_.size() + queue_.size());
  for (const auto& slot : slots_) {
    if (!slot) continue;
    const auto& s = running_.at(*slot);
    const auto working = s.in_prompt() ? State::prompt : State::decode;
    views.push_back({*slot, s.paused ? State::paused : working, s.request.prompt_tok,
                     std::min(s.committed_tok, s.request.prompt_tok), s.new_tok});
  }
  for (const auto& request : queue_) views.push_back({request.id, State::queued, request.prompt_tok, 0, 0});
  return views;
}

std::uint32_t Scheduler::chunk_tok() const noexcept {
  return planner::chunk_rows(limits_.micro_batch, limits_.sequences);
}

std::uint32_t Scheduler::score_chunk_tok() const noexcept {
  return std::min(chunk_tok(), limits_.logit_rows - limits_.sequences + 1);
}

void Scheduler::admit() {
  admitted_.clear();
  while (!queue_.empty()) {
    const auto free_slot = std::find(slots_.begin(), slots_.end(), std::nullopt);
    if (free_slot == slots_.end()) return;
    Sequence sequence;
    sequence.request = queue_.front();
    sequence.held = sequence.request.held;
    sequence.slot = static_cast<std::uint32_t>(free_slot - slots_.begin());
    if (!pool_.take(pages_needed(sequence.request), sequence.pages)) return;
    queue_.pop_front();
    *free_slot = sequence.request.id;
    admitted_.push_back(sequence.request.id);
    running_.emplace(sequence.request.id, std::move(sequence));
  }
}

void Scheduler::release(RequestId id) {
  const auto it = running_.find(id);
  pool_.give_back(it->second.pages);
  slots_[it->second.slot].reset();
  running_.erase(it);
}

std::uint64_t Scheduler::pages_needed(const Request& request) const noexcept {
  // The newest token is never in the cache, so n new tokens need n - 1 rows after the prompt.
  const auto after_prompt_tok = request.max_new_tok == 0 ? 0 : request.max_new_tok - 1;
  const auto room_tok = limits_.max_seq_len - request.prompt_tok;
  const auto rows = request.prompt_tok + std::min(after_prompt_tok, room_tok);
  return (rows - 1) / limits_.page_tok + 1;
}

/// Sequences that decode in one step, when all steps that may be on their way get alike; where prompts are
/// streamed, one of those is theirs.
std::uint32_t Scheduler::decode_share() const noexcept {
  const auto decodes = [](const auto& entry) {
    return entry.second.goes_on() && entry.second.prompt_issued();
  };
  const auto all = static_cast<std::uint32_t>(std::count_if(running_.begin(), running_.end(), decodes));
  const bool streams = std::any_of(running_.begin(), running_.end(), [this](const auto& entry) {
    const auto& sequence = entry.second;
    if (sequence.on_the_way > 0 && sequence.streamed) return true;
    return sequence.goes_on() && !sequence.prompt_issued() &&
           goes_streamed(prompt_work(entry.first, sequence));
  });
  const auto steps = streams && limits_.steps > 1 ? limits_.steps - 1 : limits_.steps;
  return (all + steps - 1) / steps;
}

void Scheduler::add_decode(Step& step, Room& room) {
  const auto share = decode_share();
  for (std::uint32_t i = 0; i < limits_.sequences && step.work.size() < share; ++i) {
    const auto& slot = slots_[(first_slot_[0] + i) % limits_.sequences];
    if (!slot) continue;
    const auto& sequence = running_.at(*slot);
    const bool waits = sequence.on_the_way > 0 || sequence.awaits_sample;
    if (!sequence.goes_on() || waits || sequence.in_prompt()) continue;
    add(step, room, {*slot, sequence.slot, sequence.committed_tok, 1, 1});
  }
}

void Scheduler::add_prompts(Step& step, Room& room) {
  for (std::uint32_t i = 0; i < limits_.sequences; ++i) {
    const auto& slot = slots_[(first_slot_.at(step.streamed ? 1 : 0) + i) % limits_.sequences];
    if (!slot) continue;
    const auto& sequence = running_.at(*slot);
    if (!sequence.goes_on() || sequence.prompt_issued()) continue;
    const auto work = prompt_work(*slot, sequence);
    const bool would_overtake = sequence.on_the_way > 0 && sequence.streamed != step.streamed;
    if (goes_streamed(work) != step.streamed || would_overtake) continue;
    if (work.rows <= room.rows && work.logit_rows <= room.logits) add(step, room, work);
  }
}

Work Scheduler::prompt_work(RequestId id, const Sequence& sequence) const noexcept {
  const auto& request = sequence.request;
  const std::uint64_t chunk = request.score_prompt ? score_chunk_tok() : chunk_tok();
  const auto chunk_end = (sequence.issued_tok / chunk + 1) * chunk;
  const auto end = std::min(chunk_end, request.prompt_tok);
  const auto rows = static_cast<std::uint32_t>(end - sequence.issued_tok);
  const bool samples = end == request.prompt_tok && request.max_new_tok > 0;
  return {id, sequence.slot, sequence.issued_tok, rows, request.score_prompt ? rows : (samples ? 1U : 0U)};
}

void Scheduler::add(Step& step, Room& room, const Work& work) {
  step.work.push_back(work);
  room.rows -= work.rows;
  room.logits -= work.logit_rows;
  auto& sequence = running_.at(work.id);
  sequence.issued_tok += work.rows;
  sequence.streamed = step.streamed;
  ++sequence.on_the_way;
}

}  // namespace tandem::scheduler
