#include "model/stop_matcher.h"

#include <algorithm>
#include <utility>

namespace tandem::model {

StopMatcher::StopMatcher(std::vector<std::string> stops) {
  std::size_t longest_bytes = 0;
  for (auto& stop : stops) {
    longest_bytes = std::max(longest_bytes, stop.size());
    if (!stop.empty()) stops_.push_back(compile(std::move(stop)));
  }
  held_.reserve(longest_bytes + 1);
}

void StopMatcher::push(std::string_view piece, std::string& text) {
  if (stopped_) return;
  if (stops_.empty()) {
    text += piece;
    return;
  }
  for (const char byte : piece) {
    held_ += byte;
    std::size_t hold_bytes = 0;
    std::size_t complete_bytes = 0;
    for (auto& stop : stops_) {
      advance(stop, byte);
      hold_bytes = std::max(hold_bytes, stop.matched);
      if (stop.matched == stop.text.size()) complete_bytes = std::max(complete_bytes, stop.matched);
    }
    stopped_ = complete_bytes > 0;
    const auto safe_bytes = held_.size() - (stopped_ ? complete_bytes : hold_bytes);
    text.append(held_, 0, safe_bytes);
    held_.erase(0, safe_bytes);
    if (stopped_) {
      found_ = std::exchange(held_, {});
      return;
    }
  }
}

std::string StopMatcher::push(std::string_view piece) {
  std::string text;
  push(piece, text);
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
