#pragma once

// Which outputs the lanes of a kernel compute together.

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

/// The outputs that are computed together: `lanes` of them, `step` apart, from `first` on.
struct LaneOutputs {
  std::uint32_t first, lanes, step;
};

enum class LaneOrder { streams, neighbours };

/// Longest stream in rows of W: all sixteen are within reach of 32-bit offsets.
inline constexpr std::uint32_t kLongestStream = 256;

/// Calls `visit` for each LaneOutputs of n_out outputs: sixteen long streams of weights with
/// LaneOrder::streams, neighbours with LaneOrder::neighbours, and the last few one by one.
template <class Visitor>
TANDEM_INLINE void for_lanes(LaneOrder order, std::uint32_t n_out, const Visitor& visit) {
  const std::uint32_t tiles = n_out / kTileOutputs;
  const std::uint32_t longest = order == LaneOrder::streams ? kLongestStream : 1;
  for (std::uint32_t done = 0; done < tiles; done += longest) {
    const std::uint32_t step = tiles - done < longest ? tiles - done : longest;
    for (std::uint32_t t = 0; t < step; ++t) visit(LaneOutputs{done * kTileOutputs + t, kTileOutputs, step});
  }
  for (std::uint32_t out = tiles * kTileOutputs; out < n_out; ++out) visit(LaneOutputs{out, 1, 0});
}

/// What `n` rows of y hold for these outputs, or zeros where they are still to be computed.
TANDEM_INLINE void load_lanes(const float* y, std::size_t y_stride, const LaneOutputs& outputs,
                              std::uint32_t n, bool zeros, float (*sums)[kTileOutputs]) {
  for (std::uint32_t r = 0; r < n; ++r) {
    for (std::uint32_t lane = 0; lane < outputs.lanes; ++lane) {
      sums[r][lane] = zeros ? 0.0f : y[r * y_stride + outputs.first + std::size_t{lane} * outputs.step];
    }
  }
}

TANDEM_INLINE void store_lanes(const float (*sums)[kTileOutputs], const LaneOutputs& outputs, std::uint32_t n,
                               float* y, std::size_t y_stride) {
  for (std::uint32_t r = 0; r < n; ++r) {
    for (std::uint32_t lane = 0; lane < outputs.lanes; ++lane) {
      y[r * y_stride + outputs.first + std::size_t{lane} * outputs.step] = sums[r][lane];
    }
  }
}

}  // namespace
}  // namespace tandem::cpu
