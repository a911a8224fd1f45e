#pragma once

#include <atomic>
#include <functional>
#include <thread>

namespace tandem::daemon {

/// SIGTERM, SIGINT and SIGHUP, unless that is ignored, as calls on a thread of their own.  Create it before
/// any other thread: it blocks the signals for the process, so that only this thread takes them.
class Signals {
 public:
  /// `on_signal` gets 1 for the first signal, 2 for the second ...
  explicit Signals(std::function<void(int count)> on_signal);
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

 private:
  std::function<void(int)> on_signal_;
  std::atomic<bool> ending_{false};
  std::thread thread_;
};

/// From now on a process that ends because a mapped file was cut short, which raises SIGBUS, says so first on
/// standard error.
void explain_bus_errors() noexcept;

}  // namespace tandem::daemon
