#pragma once

// A panel of unpacked weights times activation rows.  integer_multiply.h says what limits it and what lost.

#include "backends/cpu/panel.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// The rows of W that are multiplied together, from `lane` of a panel on: all sixteen, for which activations
/// are broadcast once, or those of a register.
class PanelLanes {
 public:
  using Ints = std::conditional_t<kHoldsSixteenRows, I32x16, Register>;
  using Floats = std::conditional_t<kHoldsSixteenRows, F32x16, RegisterFloats>;

  static constexpr bool kTwoGroups = false;

  TANDEM_INLINE PanelLanes(const Panel& panel, int lane) : panel_(panel), lane_(lane) {}

  TANDEM_INLINE Ints quants(int four) const { return load_as(As<Ints>{}, panel_.quants[four][lane_]); }
  TANDEM_INLINE Floats scales(int g) const { return load_as(As<Floats>{}, panel_.scales[g] + lane_); }
  TANDEM_INLINE Ints whole_scales(int g) const {
    return load_as(As<Ints>{}, reinterpret_cast<const std::uint8_t*>(panel_.scales[g] + lane_));
  }
  TANDEM_INLINE Floats mins(int g) const { return load_as(As<Floats>{}, panel_.mins[g] + lane_); }
  TANDEM_INLINE Ints whole_mins(std::size_t g) const {
    return load_as(As<Ints>{}, reinterpret_cast<const std::uint8_t*>(panel_.whole_mins[g] + lane_));
  }
  TANDEM_INLINE Floats factor() const { return load_as(As<Floats>{}, panel_.factor + lane_); }
  TANDEM_INLINE Floats min_factor() const { return load_as(As<Floats>{}, panel_.min_factor + lane_); }

 private:
  const Panel& panel_;
  int lane_;
};

/// All rows of two panels that follow each other, for which activations are broadcast once.
class TwoPanels {
 public:
  using Ints = Pair<PanelLanes::Ints>;
  using Floats = Pair<PanelLanes::Floats>;
  /// Whether registers hold four rows' sums of two groups.
  static constexpr bool kTwoGroups = kSumsInRegisters >= 16;

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

/// Adds the products of four columns, 4 * `u` to 4 * `u` + 3 of the panel.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_four(const Lanes& w, int u, const PanelRow<Kind>* x,
                                 typename Lanes::Ints (&sum)[N]) {
  const auto weights = w.quants(u);
  for (int n = 0; n < N; ++n) sum[n] = add_four<Kind>(sum[n], weights, x[n].quants + 4 * u);
}

/// The integer sums of group `g` of rows of W times N activation rows.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_group(const Lanes& w, int g, const PanelRow<Kind>* x,
                                  typename Lanes::Ints (&sum)[N]) {
  constexpr int kFours = Kind::kGroup / 4;
  for (int n = 0; n < N; ++n) sum[n] = x[n].template start<typename Lanes::Ints>(g);
#pragma GCC unroll 8
  for (int u = 0; u < kFours; ++u) multiply_four<Kind, N>(w, g * kFours + u, x, sum);
}

/// Calls visit(g, n, sum) with the integer sums of group after group, two and more, each row's amid the
/// products of the next group: instructions of all ports come at all times, and a core need not look as far
/// ahead for them.
template <class Kind, int N, class Lanes, class Visitor>
TANDEM_INLINE void visit_groups_amid_products(const Lanes& w, int groups, const PanelRow<Kind>* x,
                                              const Visitor& visit) {
  using Ints = typename Lanes::Ints;
  constexpr int kFours = Kind::kGroup / 4;
  Ints sum[N];
  multiply_group<Kind, N>(w, 0, x, sum);
  int g = 1;
  do {  // at least once: around a loop that may be passed by, a compiler keeps all sums in memory
    Ints next[N];
    for (int n = 0; n < N; ++n) next[n] = x[n].template start<Ints>(g);
#pragma GCC unroll 8
    for (int u = 0; u < kFours; ++u) {
      multiply_four<Kind, N>(w, g * kFours + u, x, next);
      if (u % (kFours / N) == 0) visit(g - 1, u * N / kFours, sum[u * N / kFours]);
    }
    for (int n = 0; n < N; ++n) sum[n] = next[n];
  } while (++g < groups);
  for (int n = 0; n < N; ++n) visit(groups - 1, n, sum[n]);
}

/// Calls visit(g, n, sum) with the integer sums of group after group.
template <class Kind, int N, class Lanes, class Visitor>
TANDEM_INLINE void visit_groups(const Lanes& w, int groups, const PanelRow<Kind>* x, const Visitor& visit) {
  const auto visit_group = [&](int g) {
    typename Lanes::Ints sum[N];
    multiply_group<Kind, N>(w, g, x, sum);
    for (int n = 0; n < N; ++n) visit(g, n, sum[n]);
  };
  if constexpr (Lanes::kTwoGroups && N > 1) {
    if (groups > 1) return visit_groups_amid_products<Kind, N>(w, groups, x, visit);
    visit_group(0);
  } else {
    for (int g = 0; g < groups; ++g) visit_group(g);
  }
}

/// Groups of 32 columns.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_groups(const Lanes& w, int groups, const PanelRow<Kind>* x,
                                   typename Lanes::Floats (&y)[N]) {
  using Floats = typename Lanes::Floats;
  visit_groups<Kind, N>(w, groups, x, [&](int g, int n, const typename Lanes::Ints& sum) {
    const Floats x_scale = broadcast_as(As<Floats>{}, x[n].scales[g]);
    Floats term = mul(mul(w.scales(g), x_scale), to_float(x[n].whole(sum, g)));
    if constexpr (Kind::kHasMin) {
      term = add(term, mul(w.mins(g), broadcast_as(As<Floats>{}, x[n].min_factors[g])));
    }
    y[n] = add(y[n], term);
  });
}

/// The sums of both halves of 32 columns times their scales, a whole number.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_both_halves(const Lanes& w, int g, const PanelRow<Kind>* x,
                                        typename Lanes::Floats (&both)[N]) {
  typename Lanes::Ints first[N], second[N];
  multiply_group<Kind, N>(w, 2 * g, x, first);
  multiply_group<Kind, N>(w, 2 * g + 1, x, second);
  for (int n = 0; n < N; ++n) {
    if constexpr (Kind::kInInt16) {
      const auto sum = dot2(first[n], w.whole_scales(2 * g));
      both[n] = to_float(dot2(sum, second[n], w.whole_scales(2 * g + 1)));
    } else {
      both[n] = sum_of_halves(w.scales(2 * g), first[n], w.scales(2 * g + 1), second[n]);
    }
  }
}

/// What a block of halves is, but for its factor.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_halves(const Lanes& w, const PanelRow<Kind>* x,
                                   typename Lanes::Floats (&block)[N]) {
  using Floats = typename Lanes::Floats;
  const auto add_scaled = [&](int g, int n, const Floats& both) {
    block[n] = add(block[n], mul(both, broadcast_as(As<Floats>{}, x[n].scales[g])));
  };
  if constexpr (Kind::kScaled) {
    visit_groups<Kind, N>(w, kPanelGroups, x, [&](int g, int n, const typename Lanes::Ints& sum) {
      add_scaled(g, n, to_float(sum));
    });
  } else {
    for (int g = 0; g < kPanelGroups; ++g) {
      Floats both[N];
      multiply_both_halves<Kind, N>(w, g, x, both);
      for (int n = 0; n < N; ++n) add_scaled(g, n, both[n]);
    }
  }
}

/// What the mins of a block of halves add, but for their factor.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_mins(const Lanes& w, const PanelRow<Kind>* x, typename Lanes::Floats (&mins)[N]) {
  using Floats = typename Lanes::Floats;
  using Ints = typename Lanes::Ints;
  for (int n = 0; n < N; ++n) mins[n] = broadcast_as(As<Floats>{}, 0.0f);
  for (int g = 0; g < kPanelGroups; ++g) {
    for (int n = 0; n < N; ++n) {
      const Ints min = dot2(w.whole_mins(g), broadcast_as(As<Ints>{}, x[n].sums[g]));
      mins[n] = add(mins[n], mul(to_float(min), broadcast_as(As<Floats>{}, x[n].scales[g])));
    }
  }
}

/// A block of halves.
template <class Kind, int N, class Lanes>
TANDEM_INLINE void multiply_block_of_halves(const Lanes& w, const PanelRow<Kind>* x,
                                            typename Lanes::Floats (&y)[N]) {
  using Floats = typename Lanes::Floats;
  Floats block[N];
  for (int n = 0; n < N; ++n) block[n] = broadcast_as(As<Floats>{}, 0.0f);
  multiply_halves<Kind, N>(w, x, block);
  for (int n = 0; n < N; ++n) y[n] = add(y[n], mul(w.factor(), block[n]));
  if constexpr (Kind::kHasMin) {
    multiply_mins<Kind, N>(w, x, block);
    for (int n = 0; n < N; ++n) y[n] = add(y[n], mul(w.min_factor(), block[n]));
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
