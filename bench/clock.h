#pragma once

#include <chrono>

namespace tandem::bench {

/// Time since some moment: what users wait, so that other work on the machine counts too.
inline double now_ms() {
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now().time_since_epoch();
  return time.count();
}

}  // namespace tandem::bench
