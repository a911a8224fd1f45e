#include "bench/dot_rate.h"

#include <chrono>

#include "bench/dot_loops.h"

namespace tandem::bench {

double dot_rate(std::string_view kernel_set) {
  const auto loop = dot_loop(kernel_set);
  const auto begin = std::chrono::steady_clock::now();
  loop.run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  return static_cast<double>(kRounds) * loop.products / seconds.count() / 1e9;
}

}  // namespace tandem::bench
