#pragma once

#include <ctime>

namespace tandem::bench {

/// Processor time of this thread: what others do on the machine does not count.
inline double thread_ms() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

}  // namespace tandem::bench
