#pragma once

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include "bench/on_gpu/timing.h"
#include "daemon/engine/device_lane.h"

namespace tandem::bench {

/// When a lane was at work, in order.
struct Interval {
  double begin_s = 0;
  double end_s = 0;
};

/// A lane that notes when it computes.
class TracedLane final : public engine::DeviceLane {
 public:
  TracedLane(std::unique_ptr<engine::DeviceLane> lane, Clock::time_point origin)
      : lane_(std::move(lane)), origin_(origin) {}

  void start() override { lane_->start(); }
  void run(std::size_t segment, const engine::Rows& rows, std::size_t crossing) override {
    const auto begin_s = seconds_since(origin_);
    lane_->run(segment, rows, crossing);
    const std::lock_guard lock(mutex_);
    intervals_.push_back({begin_s, seconds_since(origin_)});
  }

  /// What was noted since the last call.
  std::vector<Interval> take() {
    const std::lock_guard lock(mutex_);
    return std::exchange(intervals_, {});
  }

 private:
  std::unique_ptr<engine::DeviceLane> lane_;
  Clock::time_point origin_;
  std::mutex mutex_;
  std::vector<Interval> intervals_;
};

inline double total_s(const std::vector<Interval>& intervals) {
  double total = 0;
  for (const auto& interval : intervals) total += interval.end_s - interval.begin_s;
  return total;
}

/// Seconds during which both were at work.
inline double overlap_s(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  double overlap = 0;
  for (std::size_t i = 0, j = 0; i < a.size() && j < b.size();) {
    overlap += std::max(0.0, std::min(a[i].end_s, b[j].end_s) - std::max(a[i].begin_s, b[j].begin_s));
    a[i].end_s < b[j].end_s ? ++i : ++j;
  }
  return overlap;
}

}  // namespace tandem::bench
