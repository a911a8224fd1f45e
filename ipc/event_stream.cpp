#include "ipc/event_stream.h"

#include <algorithm>
#include <utility>

namespace tandem::ipc {

EventStream::EventStream(std::size_t capacity, std::optional<std::uint32_t> top_scores, Calls calls)
    : capacity_(capacity), top_scores_(top_scores), calls_(calls), events_(room_for_events()) {
  spares_.reserve(kSpareDeltas);
  spare_scores_.reserve(kSpareDeltas);
  spare_calls_.reserve(kSpareCalls);
  spare_long_calls_.reserve(1);
  add_spares();
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

/// Made without the lock.
void EventStream::add_spares() {
  const auto add = [this](auto& spares, std::size_t wanted, auto make) {
    const auto is_missing = [&] {
      const std::lock_guard lock(mutex_);
      return spares.size() < wanted;
    };
    while (is_missing()) {
      auto made = make();
      const std::lock_guard lock(mutex_);
      if (spares.size() < wanted) spares.push_back(std::move(made));
    }
  };
  add(spares_, kSpareDeltas, [this] { return delta_with_room(); });
  if (top_scores_) add(spare_scores_, kSpareDeltas, [this] { return scores_with_room(); });
  if (calls_ == Calls::no) return;
  add(spare_calls_, kSpareCalls, [] { return call_with_room(kRoomForShortArguments); });
  add(spare_long_calls_, 1, [] { return call_with_room(kRoomForArguments); });
}

/// For the end and some progress too.
std::vector<StreamEvent> EventStream::room_for_events() const {
  constexpr std::size_t kMoreEvents = 4;
  std::vector<StreamEvent> events;
  events.reserve(std::min(capacity_, kSpareDeltas) + kMoreEvents);
  return events;
}

TextDelta EventStream::spare() {
  const std::lock_guard lock(mutex_);
  if (spares_.empty()) return {};
  auto delta = std::move(spares_.back());
  spares_.pop_back();
  return delta;
}

ScoredToken EventStream::spare_scores() {
  const std::lock_guard lock(mutex_);
  if (spare_scores_.empty()) return {};
  auto scores = std::move(spare_scores_.back());
  spare_scores_.pop_back();
  return scores;
}

ToolCall EventStream::spare_call(std::size_t argument_bytes) {
  const std::lock_guard lock(mutex_);
  auto& spares = argument_bytes > kRoomForShortArguments ? spare_long_calls_ : spare_calls_;
  if (spares.empty()) return {};
  auto call = std::move(spares.back());
  spares.pop_back();
  return call;
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

std::vector<StreamEvent> EventStream::drain() {
  auto events = room_for_events();
  bool wake_engine = false;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
    wake_engine = std::exchange(engine_waits_, false);
  }
  add_spares();
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
