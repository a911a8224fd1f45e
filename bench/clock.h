#pragma once

#include <chrono>
#include <ctime>

namespace tandem::bench {

/// Time since some moment: what users wait, so that other work on the machine counts too.
inline double now_ms() {
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now().time_since_epoch();
  return time.count();
}

/// Processor time of this thread, which other work on the machine does not count in.
inline double processor_ms() {
  std::timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace tandem::bench
