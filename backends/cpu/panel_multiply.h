#pragma once

// A panel of unpacked weights times activation rows.

#include "backends/cpu/panel.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// The rows of W that are multiplied together, from `lane` of a panel on: those of a register, where it takes
/// more than one of those to add products up; else all sixteen, for which activations are broadcast once.
class PanelLanes {
 public:
#if defined(__AVXVNNI__)
  using Ints = I32x16;
  using Floats = F32x16;
#else
  using Ints = Register;
  using Floats = RegisterFloats;
#endif

  TANDEM_INLINE PanelLanes(const Panel& panel, int lane) : panel_(panel), lane_(lane) {}

  TANDEM_INLINE Ints quants(int four) const {
    return load_as(As<Ints>{}, panel_.quants[four][lane_]);
  }
  TANDEM_INLINE Floats scales(int g) const {
    return load_as(As<Floats>{}, panel_.scales[g] + lane_);
  }
  TANDEM_INLINE Floats mins(int g) const {
    return load_as(As<Floats>{}, panel_.mins[g] + lane_);
  }
  TANDEM_INLINE Ints whole_mins(std::size_t g) const {
    return load_as(As<Ints>{}, reinterpret_cast<const std::uint8_t*>(panel_.whole_mins[g] + lane_));
  }
  TANDEM_INLINE Floats factor() const {
    return load_as(As<Floats>{}, panel_.factor + lane_);
  }
  TANDEM_INLINE Floats min_factor() const {
    return load_as(As<Floats>{}, panel_.min_factor + lane_);
  }

 private:
  const Panel& panel_;
  int lane_;
};

/// All rows of two panels that follow each other, for which activations are broadcast once.
class TwoPanels {
 public:
  using Ints = Pair<PanelLanes::Ints>;
  using Floats = Pair<PanelLanes::Floats>;

  TANDEM_INLINE explicit TwoPanels(const Panel* panels) : first_(panels[0], 0), second_(panels[1], 0) {}

  TANDEM_INLINE Ints quants(int four) const { return {first_.quants(four), second_.quants(four)}; }
  TANDEM_INLINE Floats scales(int g) const { return {first_.scales(g), second_.scales(g)}; }
  TANDEM_INLINE Floats mins(int g) const { return {first_.mins(g), second_.mins(g)}; }
  TANDEM_INLINE Ints whole_mins(std::size_t g) const { return {first_.whole_mins(g), second_.whole_mins(g)}; }
  TANDEM_INLINE Floats factor() const { return {first_.factor(), second_.factor()}; }
  TANDEM_INLINE Floats min_factor() const { return {first_.min_factor(), second_.min_factor()}; }

 private:
  PanelLanes first_, second_;
};

/// The integer sums of group `g` of rows of W times N activation rows.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_group(const Lanes& w, int g, const PanelRow<Kind>* x,
                                  typename Lanes::Ints (&sum)[N]) {
  using Ints = typename Lanes::Ints;
  for (int n = 0; n < N; ++n) sum[n] = x[n].template start<Ints>(g);
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  for (int u = 0; u < Kind::kGroup / 4; ++u) {
    const Ints weights = w.quants(g * Kind::kGroup / 4 + u);
    for (int n = 0; n < N; ++n) sum[n] = dot4(sum[n], weights, x[n].quants + g * Kind::kGroup + 4 * u);
  }
#else
#pragma GCC unroll 2
  for (int column = g * Kind::kGroup; column < (g + 1) * Kind::kGroup; column += 16) {
    const auto four_columns = [&](int i) { return w.quants(column / 4 + i); };
    // Row by row: sixteen columns of weights stay in registers.
    for (int n = 0; n < N; ++n) add_sixteen<1>(four_columns, x + n, column, sum + n);
  }
#endif
}

/// The sums of 32 columns of a block of halves, whole numbers, times their scales.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_both_halves(const Lanes& w, int g, const PanelRow<Kind>* x,
                                        typename Lanes::Floats (&both)[N]) {
  typename Lanes::Ints first[N];
  if constexpr (Kind::kScaled) {
    multiply_group<Kind, N>(w, g, x, first);
    for (int n = 0; n < N; ++n) both[n] = to_float(first[n]);
  } else {
    typename Lanes::Ints second[N];
    multiply_group<Kind, N>(w, 2 * g, x, first);
    multiply_group<Kind, N>(w, 2 * g + 1, x, second);
    const auto s1 = w.scales(2 * g), s2 = w.scales(2 * g + 1);
    for (int n = 0; n < N; ++n) both[n] = sum_of_halves(s1, first[n], s2, second[n]);
  }
}

/// A block of halves.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_block_of_halves(const Lanes& w, const PanelRow<Kind>* x,
                                            typename Lanes::Floats (&y)[N]) {
  using Floats = typename Lanes::Floats;
  using Ints = typename Lanes::Ints;
  Floats block[N], mins[N];
  for (int n = 0; n < N; ++n) block[n] = mins[n] = broadcast_as(As<Floats>{}, 0.0f);
  for (int g = 0; g < kPanelGroups; ++g) {
    Floats both[N];
    multiply_both_halves<Kind, N>(w, g, x, both);
    for (int n = 0; n < N; ++n) {
      const Floats x_scale = broadcast_as(As<Floats>{}, x[n].scales[g]);
      block[n] = add(block[n], mul(both[n], x_scale));
      if constexpr (Kind::kHasMin) {
        const Ints min = dot2(w.whole_mins(g), broadcast_as(As<Ints>{}, x[n].sums[g]));
        mins[n] = add(mins[n], mul(to_float(min), x_scale));
      }
    }
  }
  for (int n = 0; n < N; ++n) {
    y[n] = add(y[n], mul(w.factor(), block[n]));
    if constexpr (Kind::kHasMin) y[n] = add(y[n], mul(w.min_factor(), mins[n]));
  }
}

/// Groups of 32 columns.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_groups(const Lanes& w, int groups, const PanelRow<Kind>* x,
                                   typename Lanes::Floats (&y)[N]) {
  using Floats = typename Lanes::Floats;
  for (int g = 0; g < groups; ++g) {
    typename Lanes::Ints sum[N];
    multiply_group<Kind, N>(w, g, x, sum);
    const Floats scale = w.scales(g);
    for (int n = 0; n < N; ++n) {
      const Floats x_scale = broadcast_as(As<Floats>{}, x[n].scales[g]);
      Floats term = mul(mul(scale, x_scale), to_float(sum[n]));
      if constexpr (Kind::kHasMin) {
        term = add(term, mul(w.mins(g), broadcast_as(As<Floats>{}, x[n].min_factors[g])));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// Adds rows of W times N activation rows to y.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_rows_of_panel(const Lanes& w, int groups, const PanelRow<Kind>* x,
                                          typename Lanes::Floats (&y)[N]) {
  if constexpr (Kind::kFactors) {
    multiply_block_of_halves<Kind, N>(w, x, y);
  } else {
    multiply_groups<Kind, N>(w, groups, x, y);
  }
}

/// Adds a panel times N activation rows to `sums`.
template <class Kind, int N>
[[gnu::noinline]] void multiply_panel(const Panel& panel, int groups, const PanelRow<Kind>* x,
                                      float (*sums)[kTileOutputs]) {
  using Floats = PanelLanes::Floats;
#pragma GCC unroll 1
  for (int lane = 0; lane < static_cast<int>(kTileOutputs); lane += sizeof(Floats) / sizeof(float)) {
    Floats y[N];
    for (int n = 0; n < N; ++n) y[n] = load_as(As<Floats>{}, sums[n] + lane);
    multiply_rows_of_panel<Kind, N>(PanelLanes(panel, lane), groups, x, y);
    for (int n = 0; n < N; ++n) store(sums[n] + lane, y[n]);
  }
}

/// The same of two panels that follow each other, sixteen rows of W a register.
template <class Kind, int N>
[[gnu::noinline]] void multiply_two_panels(const Panel* panels, int groups, const PanelRow<Kind>* x,
                                           float (*first)[kTileOutputs], float (*second)[kTileOutputs]) {
  TwoPanels::Floats y[N];
  for (int n = 0; n < N; ++n) y[n] = {load(first[n]), load(second[n])};
  multiply_rows_of_panel<Kind, N>(TwoPanels(panels), groups, x, y);
  for (int n = 0; n < N; ++n) {
    store(first[n], y[n].lo);
    store(second[n], y[n].hi);
  }
}

}  // namespace
}  // namespace tandem::cpu
