#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "backends/cuda/runtime.h"

namespace tandem::bench {

using Clock = std::chrono::steady_clock;

inline double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Seconds that each of the `n` pieces of work takes that `enqueue` puts into the stream: the median over
/// launches of all of them as one graph, of which there are at least two and as many as fit `sample_s`.
template <class Enqueue>
double seconds_each(cuda::Stream& stream, std::size_t n, double sample_s, const Enqueue& enqueue) {
  const auto graph = stream.capture(enqueue);
  std::vector<double> seconds;
  const auto start = Clock::now();
  do {
    const auto launched = Clock::now();
    stream.launch(graph);
    stream.synchronise();
    seconds.push_back(seconds_since(launched) / static_cast<double>(n));
  } while (seconds.size() < 3 || seconds_since(start) < sample_s);
  seconds.erase(seconds.begin());  // the first one warms up
  return median(std::move(seconds));
}

}  // namespace tandem::bench
