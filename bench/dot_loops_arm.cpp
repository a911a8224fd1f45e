#include <arm_neon.h>

#include "bench/dot_loops.h"

namespace tandem::bench {
namespace {

/// Independent sums: enough that none waits for the one before it.
constexpr int kSums = 12;

[[gnu::target("arch=armv8.2-a+dotprod")]] void dot_128() {
  int32x4_t sums[kSums] = {};
  const int8x16_t x = vdupq_n_s8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      sum = vdotq_s32(sum, x, x);
      asm volatile("" : "+w"(sum));
    }
  }
}

void multiply_128() {
  int32x4_t sums[kSums] = {};
  int8x16_t x = vdupq_n_s8(1);
  for (int round = 0; round < kRounds; ++round) {
#pragma GCC unroll 12
    for (auto& sum : sums) {
      asm volatile("" : "+w"(x));
      sum = vpadalq_s16(sum, vpaddq_s16(vmull_s8(vget_low_s8(x), vget_low_s8(x)), vmull_high_s8(x, x)));
      asm volatile("" : "+w"(sum));
    }
  }
}

}  // namespace

DotLoop dot_loop(std::string_view kernel_set) {
  return {kernel_set == "neon-dot" ? dot_128 : multiply_128, kSums * 16};
}

}  // namespace tandem::bench
