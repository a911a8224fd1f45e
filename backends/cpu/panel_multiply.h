#pragma once

// A panel of unpacked weights times activation rows.

#include "backends/cpu/panel.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// The rows of W that are multiplied together: a register's, where it takes more than one of those to add
/// products up; else all sixteen, for which activations are broadcast once.
#if defined(__AVXVNNI__)
using PanelInts = I32x16;
using PanelFloats = F32x16;
#else
using PanelInts = Register;
using PanelFloats = RegisterFloats;
#endif
inline constexpr int kRowsOfPanel = sizeof(PanelInts) / 4;

/// The integer sums of group `g` of rows of W from `lane` on times N activation rows.
template <class Kind, int N>
TANDEM_INLINE void multiply_group(const Panel& panel, int lane, int g, const PanelRow<Kind>* x,
                                  PanelInts (&sum)[N]) {
  for (int n = 0; n < N; ++n) sum[n] = x[n].template start<PanelInts>(g);
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  for (int u = 0; u < Kind::kGroup / 4; ++u) {
    const auto weights = load_as(As<PanelInts>{}, panel.quants[g * Kind::kGroup / 4 + u][lane]);
    for (int n = 0; n < N; ++n) sum[n] = dot4(sum[n], weights, x[n].quants + g * Kind::kGroup + 4 * u);
  }
#else
#pragma GCC unroll 2
  for (int column = g * Kind::kGroup; column < (g + 1) * Kind::kGroup; column += 16) {
    const auto* fours = panel.quants + column / 4;
    const auto four_columns = [&](int i) { return load_as(As<PanelInts>{}, fours[i][lane]); };
    // Row by row: sixteen columns of weights stay in registers.
    for (int n = 0; n < N; ++n) add_sixteen<1>(four_columns, x + n, column, sum + n);
  }
#endif
}

TANDEM_INLINE PanelFloats floats_at(const float* from) {
  return load_as(As<PanelFloats>{}, from);
}
TANDEM_INLINE PanelFloats in_all(float value) {
  return broadcast_as(As<PanelFloats>{}, value);
}

/// A block of halves.
template <class Kind, int N>
TANDEM_INLINE void multiply_block_of_halves(const Panel& panel, int lane, const PanelRow<Kind>* x,
                                            PanelFloats (&y)[N]) {
  PanelFloats block[N];
  for (int n = 0; n < N; ++n) block[n] = in_all(0.0f);
  for (int g = 0; g < kPanelGroups; ++g) {
    PanelInts first[N], second[N];
    multiply_group<Kind, N>(panel, lane, 2 * g, x, first);
    multiply_group<Kind, N>(panel, lane, 2 * g + 1, x, second);
    const PanelFloats s1 = floats_at(panel.scales[2 * g] + lane),
                      s2 = floats_at(panel.scales[2 * g + 1] + lane);
    for (int n = 0; n < N; ++n) {
      block[n] = add(block[n], mul(sum_of_halves(s1, first[n], s2, second[n]), in_all(x[n].scales[g])));
    }
  }
  for (int n = 0; n < N; ++n) y[n] = add(y[n], mul(floats_at(panel.factor + lane), block[n]));
  if constexpr (Kind::kHasMin) {
    const auto mins_of = [&](std::size_t g) {
      return load_as(As<PanelInts>{}, reinterpret_cast<const std::uint8_t*>(panel.whole_mins[g] + lane));
    };
    for (int n = 0; n < N; ++n) {
      const auto mins = sum_of_mins<PanelFloats>(mins_of, x[n].sums, x[n].scales, 1);
      y[n] = add(y[n], mul(floats_at(panel.min_factor + lane), mins));
    }
  }
}

/// Groups of 32 columns.
template <class Kind, int N>
TANDEM_INLINE void multiply_groups(const Panel& panel, int lane, int groups, const PanelRow<Kind>* x,
                                   PanelFloats (&y)[N]) {
  for (int g = 0; g < groups; ++g) {
    PanelInts sum[N];
    multiply_group<Kind, N>(panel, lane, g, x, sum);
    const PanelFloats scale = floats_at(panel.scales[g] + lane);
    for (int n = 0; n < N; ++n) {
      PanelFloats term = mul(mul(scale, in_all(x[n].scales[g])), to_float(sum[n]));
      if constexpr (Kind::kHasMin) {
        term = add(term, mul(floats_at(panel.mins[g] + lane), in_all(x[n].min_factors[g])));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// Adds a panel times N activation rows to `sums`.
template <class Kind, int N>
[[gnu::noinline]] void multiply_panel(const Panel& panel, int groups, const PanelRow<Kind>* x,
                                      float (*sums)[kTileOutputs]) {
#pragma GCC unroll 1
  for (int lane = 0; lane < static_cast<int>(kTileOutputs); lane += kRowsOfPanel) {
    PanelFloats y[N];
    for (int n = 0; n < N; ++n) y[n] = floats_at(sums[n] + lane);
    if constexpr (Kind::kHalves) {
      multiply_block_of_halves<Kind, N>(panel, lane, x, y);
    } else {
      multiply_groups<Kind, N>(panel, lane, groups, x, y);
    }
    for (int n = 0; n < N; ++n) store(sums[n] + lane, y[n]);
  }
}

}  // namespace
}  // namespace tandem::cpu
