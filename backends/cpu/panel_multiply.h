#pragma once

// A panel of unpacked weights times activation rows.

#include "backends/cpu/panel.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// The integer sums of group `g` times N activation rows.
template <class Kind, int N>
TANDEM_INLINE void multiply_group(const Panel& panel, int g, const PanelRow<Kind>* x, I32x16 (&sum)[N]) {
  for (int n = 0; n < N; ++n) sum[n] = x[n].start(g);
  for (int u = 0; u < Kind::kGroup / 4; ++u) {
    const I32x16 w = load(panel.quants[g * Kind::kGroup / 4 + u][0]);
    for (int n = 0; n < N; ++n) sum[n] = dot4<Kind>(sum[n], w, x[n].quants + Kind::kGroup * g + 4 * u);
  }
}

/// A block of halves.
template <class Kind, int N>
TANDEM_INLINE void multiply_block_of_halves(const Panel& panel, const PanelRow<Kind>* x, F32x16 (&y)[N]) {
  F32x16 block[N];
  for (int n = 0; n < N; ++n) block[n] = broadcast(0.0f);
  for (int g = 0; g < kPanelGroups; ++g) {
    I32x16 first[N], second[N];
    multiply_group<Kind, N>(panel, 2 * g, x, first);
    multiply_group<Kind, N>(panel, 2 * g + 1, x, second);
    for (int n = 0; n < N; ++n) {
      const F32x16 sum =
          sum_of_halves(load(panel.scales[2 * g]), first[n], load(panel.scales[2 * g + 1]), second[n]);
      block[n] = add(block[n], mul(sum, broadcast(x[n].scales[g])));
    }
  }
  for (int n = 0; n < N; ++n) y[n] = add(y[n], mul(load(panel.factor), block[n]));
  if constexpr (Kind::kHasMin) {
    const auto mins_of = [&panel](std::size_t g) { return panel.mins_of(g); };
    for (int n = 0; n < N; ++n) {
      const F32x16 mins = sum_of_mins(mins_of, x[n].sums, x[n].scales, 1);
      y[n] = add(y[n], mul(load(panel.min_factor), mins));
    }
  }
}

/// Adds a panel times N activation rows to `sums`.
template <class Kind, int N>
[[gnu::noinline]] void multiply_panel(const Panel& panel, int groups, const PanelRow<Kind>* x,
                                      float (*sums)[kTileOutputs]) {
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  if constexpr (Kind::kHalves) {
    multiply_block_of_halves<Kind, N>(panel, x, y);
  } else {
    for (int g = 0; g < groups; ++g) {
      I32x16 sum[N];
      multiply_group<Kind, N>(panel, g, x, sum);
      const F32x16 scale = load(panel.scales[g]);
      for (int n = 0; n < N; ++n) {
        F32x16 term = mul(mul(scale, broadcast(x[n].scales[g])), to_float(sum[n]));
        if constexpr (Kind::kHasMin) {
          term = add(term, mul(load(panel.mins[g]), broadcast(x[n].min_factors[g])));
        }
        y[n] = add(y[n], term);
      }
    }
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

}  // namespace
}  // namespace tandem::cpu
