#include "ipc/event_stream.h"

#include <algorithm>
#include <utility>

namespace tandem::ipc {

EventStream::EventStream(std::size_t capacity, std::optional<std::uint32_t> top_scores, Calls calls)
    : capacity_(capacity),
      top_scores_(top_scores),
      calls_(calls),
      events_(room_for_events()),
      spare_scores_(top_scores ? kSpareDeltas : 0),
      spare_calls_(calls == Calls::maybe ? kSpareCalls : 0),
      spare_long_calls_(calls == Calls::maybe ? 1 : 0) {
  make_spares();
  static_cast<void>(refill());
}

TextDelta EventStream::delta_with_room() const {
  TextDelta delta;
  delta.text.reserve(kRoomForText);
  delta.reasoning.reserve(kRoomForText);
  delta.tokens.reserve(4);
  if (top_scores_) delta.scores.reserve(1);
  if (calls_ == Calls::maybe) delta.calls.reserve(1);
  return delta;
}

ScoredToken EventStream::scores_with_room() const {
  ScoredToken scores;
  scores.top.resize(top_scores_.value_or(0));
  scores.chosen.text.reserve(kRoomForToken);
  for (auto& token : scores.top) token.text.reserve(kRoomForToken);
  return scores;
}

ToolCall EventStream::call_with_room(std::size_t argument_bytes) {
  ToolCall call;
  call.name.reserve(kRoomForName);
  call.arguments.reserve(argument_bytes);
  return call;
}

/// As many as are missing now; made without the lock.
void EventStream::make_spares() {
  std::unique_lock lock(mutex_);
  const auto deltas = spares_.missing();
  const auto scores = spare_scores_.missing();
  const auto calls = spare_calls_.missing();
  const auto long_calls = spare_long_calls_.missing();
  lock.unlock();
  spares_.store(deltas, [this] { return delta_with_room(); });
  spare_scores_.store(scores, [this] { return scores_with_room(); });
  spare_calls_.store(calls, [] { return call_with_room(kRoomForShortArguments); });
  spare_long_calls_.store(long_calls, [] { return call_with_room(kRoomForArguments); });
}

/// With the lock; false if the engine has taken more meanwhile.
bool EventStream::refill() noexcept {
  const bool deltas = spares_.refill();
  const bool scores = spare_scores_.refill();
  const bool calls = spare_calls_.refill();
  return spare_long_calls_.refill() && deltas && scores && calls;
}

/// For the end and some progress too.
std::vector<StreamEvent> EventStream::room_for_events() const {
  constexpr std::size_t kMoreEvents = 4;
  std::vector<StreamEvent> events;
  events.reserve(std::min(capacity_, kSpareDeltas) + kMoreEvents);
  return events;
}

TextDelta EventStream::spare(std::size_t text_bytes) {
  const std::lock_guard lock(mutex_);
  auto delta = spares_.take();
  if (text_bytes > kRoomForText) delta.text = take_call(text_bytes).arguments;
  return delta;
}

ScoredToken EventStream::spare_scores() {
  const std::lock_guard lock(mutex_);
  return spare_scores_.take();
}

ToolCall EventStream::spare_call(std::size_t argument_bytes) {
  const std::lock_guard lock(mutex_);
  return take_call(argument_bytes);
}

ToolCall EventStream::take_call(std::size_t argument_bytes) {
  return argument_bytes > kRoomForShortArguments ? spare_long_calls_.take() : spare_calls_.take();
}

void EventStream::push(StreamEvent event) {
  {
    const std::lock_guard lock(mutex_);
    if (abandoned_ || replace_progress(event)) return;
    events_.push_back(std::move(event));
  }
  if (on_push_) on_push_();
}

bool EventStream::replace_progress(const StreamEvent& event) {
  if (!std::holds_alternative<PromptProgress>(event)) return false;
  if (events_.empty() || !std::holds_alternative<PromptProgress>(events_.back())) return false;
  events_.back() = event;  // its reader has been woken already
  return true;
}

bool EventStream::has_room() {
  const std::lock_guard lock(mutex_);
  if (abandoned_ || events_.size() < capacity_) return true;
  engine_waits_ = true;
  return false;
}

/// There are all spares again before there is room again for what they are for.
std::vector<StreamEvent> EventStream::drain() {
  auto events = room_for_events();
  bool wake_engine = false;
  while (true) {
    make_spares();
    const std::lock_guard lock(mutex_);
    if (!refill()) continue;
    events.swap(events_);
    wake_engine = std::exchange(engine_waits_, false);
    break;
  }
  if (wake_engine && on_drain_) on_drain_();
  return events;
}

void EventStream::abandon() {
  bool wake_engine = false;
  {
    const std::lock_guard lock(mutex_);
    abandoned_ = true;
    events_.clear();
    wake_engine = std::exchange(engine_waits_, false);
  }
  if (wake_engine && on_drain_) on_drain_();
}

}  // namespace tandem::ipc
