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

/// Seconds that `work` takes: the median of at least two runs, of as many as fit `sample_s`, after one to
/// warm up.
template <class Work>
double seconds_of(double sample_s, const Work& work) {
  std::vector<double> seconds;
  work();
  const auto start = Clock::now();
  do {
    const auto began = Clock::now();
    work();
    seconds.push_back(seconds_since(began));
  } while (seconds.size() < 2 || seconds_since(start) < sample_s);
  return median(std::move(seconds));
}

/// Seconds that each of the `n` pieces of work takes that `enqueue` puts into the stream, launched as one
/// graph (seconds_of).
template <class Enqueue>
double seconds_each(cuda::Stream& stream, std::size_t n, double sample_s, const Enqueue& enqueue) {
  const auto graph = stream.capture(enqueue);
  const auto seconds = seconds_of(sample_s, [&] {
    stream.launch(graph);
    stream.synchronise();
  });
  return seconds / static_cast<double>(n);
}

}  // namespace tandem::bench
