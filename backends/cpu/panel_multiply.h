#pragma once

// A panel of unpacked weights times activation rows.

#include "backends/cpu/panel.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// Adds a panel times N activation rows to `sums`.
template <class Kind, int N>
[[gnu::noinline]] void multiply_panel(const Panel& panel, int groups, const PanelRow<Kind>* x,
                                      float (*sums)[kTileOutputs]) {
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  for (int g = 0; g < groups; ++g) {
    I32x16 sum[N];
    for (int n = 0; n < N; ++n) sum[n] = broadcast(x[n].starts[g]);
    for (int u = 0; u < Kind::kGroup / 4; ++u) {
      const I32x16 w = load(panel.quants[g * Kind::kGroup / 4 + u][0]);
      for (int n = 0; n < N; ++n) sum[n] = dot4<Kind>(sum[n], w, x[n].quants + Kind::kGroup * g + 4 * u);
    }
    const F32x16 scale = load(panel.scales[g]);
    for (int n = 0; n < N; ++n) {
      F32x16 term = mul(mul(scale, broadcast(x[n].scale(g))), to_float(sum[n]));
      if constexpr (Kind::kHasMin) {
        term = add(term, mul(load(panel.mins[g]), broadcast(x[n].min_factors[g])));
      }
      y[n] = add(y[n], term);
    }
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

}  // namespace
}  // namespace tandem::cpu
