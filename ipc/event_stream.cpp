#include "ipc/event_stream.h"

#include <algorithm>
#include <utility>

namespace tandem::ipc {

namespace {

TextDelta delta_with_room() {
  TextDelta delta;
  delta.text.reserve(EventStream::kRoomForText);
  delta.reasoning.reserve(EventStream::kRoomForText);
  delta.tokens.reserve(4);
  return delta;
}

}  // namespace

EventStream::EventStream(std::size_t capacity) : capacity_(capacity), events_(room_for_events()) {
  spares_.reserve(kSpareDeltas);
  while (spares_.size() < kSpareDeltas) spares_.push_back(delta_with_room());
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
  std::size_t missing = 0;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
    wake_engine = std::exchange(engine_waits_, false);
    missing = kSpareDeltas - spares_.size();
  }
  for (std::size_t i = 0; i < missing; ++i) {
    auto delta = delta_with_room();
    const std::lock_guard lock(mutex_);
    if (spares_.size() < kSpareDeltas) spares_.push_back(std::move(delta));
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
