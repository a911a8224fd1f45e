#pragma once

#include <string_view>

namespace tandem::bench {

/// Rounds of a loop.
inline constexpr int kRounds = 1 << 21;

/// A loop of kRounds rounds that does nothing but so many products of bytes in each.
struct DotLoop {
  void (*run)();
  int products;
};

/// The loop of the best instructions that a kernel set has.  One definition for each architecture.
DotLoop dot_loop(std::string_view kernel_set);

}  // namespace tandem::bench
