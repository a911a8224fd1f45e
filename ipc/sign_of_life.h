#pragma once

#include <chrono>

namespace tandem::ipc {

/// When a client for whom there is nothing to say, as while a long prompt is computed or a long call written,
/// should hear that the daemon is at work.
class SignOfLife {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kPeriod{15};

  explicit SignOfLife(Clock::time_point now) : last_(now) {}

  /// The client hears something now.
  void heard(Clock::time_point now) { last_ = now; }
  /// True where it has heard nothing for kPeriod; it is told so then.
  bool due(Clock::time_point now) {
    if (now - last_ < kPeriod) return false;
    last_ = now;
    return true;
  }

 private:
  Clock::time_point last_;
};

}  // namespace tandem::ipc
