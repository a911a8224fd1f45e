#include "model/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace tandem::model {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  for (auto& stop : stops) {
    if (!stop.empty()) stops_.push_back(compile(std::move(stop)));
  }
}

std::string StopMatcher::push(std::string_view piece) {
  if (stopped_) return {};
  for (const char byte : piece) {
    held_ += byte;
    std::size_t complete_bytes = 0;
    for (auto& stop : stops_) {
      advance(stop, byte);
      if (stop.matched == stop.text.size()) complete_bytes = std::max(complete_bytes, stop.matched);
    }
    if (complete_bytes > 0) {
      stopped_ = true;
      found_ = held_.substr(held_.size() - complete_bytes);
      held_.resize(held_.size() - complete_bytes);
      return std::exchange(held_, {});
    }
  }
  std::size_t hold_bytes = 0;
  for (const auto& stop : stops_) hold_bytes = std::max(hold_bytes, stop.matched);
  auto text = held_.substr(0, held_.size() - hold_bytes);
  held_.erase(0, text.size());
  return text;
}

std::string StopMatcher::finish() {
  for (auto& stop : stops_) stop.matched = 0;
  return std::exchange(held_, {});
}

StopMatcher::Stop StopMatcher::compile(std::string text) {
  Stop stop{std::move(text), {}, 0};
  stop.fallback.assign(stop.text.size() + 1, 0);
  for (std::size_t length = 2; length <= stop.text.size(); ++length) {
    auto shorter = stop.fallback[length - 1];
    while (shorter > 0 && stop.text[shorter] != stop.text[length - 1]) shorter = stop.fallback[shorter];
    stop.fallback[length] = stop.text[shorter] == stop.text[length - 1] ? shorter + 1 : 0;
  }
  return stop;
}

void StopMatcher::advance(Stop& stop, char byte) noexcept {
  while (stop.matched > 0 && stop.text[stop.matched] != byte) stop.matched = stop.fallback[stop.matched];
  if (stop.text[stop.matched] == byte) ++stop.matched;
}

}  // namespace tandem::model
