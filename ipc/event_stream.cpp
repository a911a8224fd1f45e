#include "ipc/event_stream.h"

#include <utility>

namespace tandem::ipc {

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
  std::vector<StreamEvent> events;
  bool wake_engine = false;
  {
    const std::lock_guard lock(mutex_);
    events.swap(events_);
    wake_engine = std::exchange(engine_waits_, false);
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
