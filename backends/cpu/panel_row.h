#pragma once

// Quantised activations, and dot products of unpacked quants with them.

#include "backends/cpu/lanes.h"
#include "backends/cpu/quantised_row.h"

namespace tandem::cpu {
namespace {

/// What the arithmetic on unpacked quants depends on, whichever block type they come from: columns that share
/// a scale, whether there are mins, and whether quants take more than six bits where that makes a difference.
/// A type with mins has no offset.
template <int kColumns, bool kMins, bool kWideQuants>
struct Kind {
  static constexpr int kGroup = kColumns;
  static constexpr bool kHalves = kColumns == 16;  ///< half of what shares a scale of the activations
  static constexpr bool kHasMin = kMins;
  static constexpr bool kWide = kWideQuants;
};

#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
inline constexpr int kMostNarrowQuant = 255;
#else
inline constexpr int kMostNarrowQuant = 63;
#endif

template <class Format>
using KindOf = Kind<Format::kGroup, Format::kHasMin, (Format::kMaxQuant > kMostNarrowQuant)>;

/// A row of activations.
struct RowSlice {
  const std::int8_t* quants;
  const float* scales;
  const std::int16_t* sums;

  RowSlice(const Activations& x, std::uint32_t row, std::uint32_t in) {
    const QuantisedLayout layout{in};
    const std::byte* bytes = x.row(row);
    quants = reinterpret_cast<const std::int8_t*>(bytes);
    scales = reinterpret_cast<const float*>(bytes + layout.scales_at());
    sums = reinterpret_cast<const std::int16_t*>(bytes + layout.sums_at());
  }
};

/// Four quants of a row for every lane.
TANDEM_INLINE I32x16 broadcast_four(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return broadcast(four);
}

template <class Kind>
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, I32x16 x) {
  if constexpr (Kind::kWide) {
    return dot4_wide(sum, weights, x);
  } else {
    return dot4_narrow(sum, weights, x);
  }
}

/// The same with four quants in memory.
template <class Kind>
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, const std::int8_t* x) {
#if defined(__AVX512VNNI__)
  // As one instruction, which the compiler makes two of: fewer in flight a product.
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(weights), "m"(*reinterpret_cast<const std::int32_t*>(x)));
  return sum;
#else
  return dot4<Kind>(sum, weights, broadcast_four(x));
#endif
}

/// Most columns that are unpacked at a time: one block of the largest block types.
inline constexpr int kPanelColumns = 256;

/// Groups of the activations, and of weights but for halves, in a panel.
inline constexpr int kPanelGroups = kPanelColumns / int{kActivationGroup};

/// Up to kPanelColumns columns of an activation row, with what every sixteen rows of W need of them computed
/// once.  A few of these in an array are within reach of one pointer.
template <class Kind>
struct alignas(64) PanelRow {
  static constexpr int kGroups = kPanelColumns / Kind::kGroup;
  std::int8_t quants[kPanelColumns];
  float scales[kPanelGroups];
  std::int32_t starts[Kind::kHasMin ? 1 : kGroups];  ///< of integer sums: takes the type's offset back
  float min_factors[Kind::kHasMin && !Kind::kHalves ? kGroups : 1];      ///< scale * sum of quants
  std::int32_t sums[Kind::kHasMin && Kind::kHalves ? kPanelGroups : 1];  ///< of both halves, int16 each

  /// What the integer sum of group `g` begins with.
  TANDEM_INLINE I32x16 start(int g) const {
    if constexpr (Kind::kHasMin) {
      return broadcast(0);
    } else {
      return broadcast(starts[g]);
    }
  }

  /// Columns [column, column + columns) of a row, for weights whose quants have `offset` added.
  void fill(const RowSlice& row, int column, int columns, int offset) {
    if (columns == kPanelColumns) {
      fill_groups(row, column, kPanelColumns, offset);  // loops of known length
    } else {
      fill_groups(row, column, columns, offset);
    }
  }

 private:
  TANDEM_INLINE void fill_groups(const RowSlice& row, int column, int columns, int offset) {
    __builtin_memcpy(quants, row.quants + column, static_cast<std::size_t>(columns));
    __builtin_memcpy(scales, row.scales + column / 32, static_cast<std::size_t>(columns) / 8);
    const std::int16_t* row_sums = row.sums + column / 16;
    if constexpr (Kind::kHasMin && Kind::kHalves) {
      __builtin_memcpy(sums, row_sums, static_cast<std::size_t>(columns) / 8);
      return;
    }
    for (int g = 0; g < columns / Kind::kGroup; ++g) {
      const auto i = static_cast<std::size_t>(g);
      const std::int32_t sum = Kind::kHalves ? row_sums[i] : row_sums[2 * i] + row_sums[2 * i + 1];
      if constexpr (Kind::kHasMin) {
        min_factors[g] = scales[g] * static_cast<float>(sum);
      } else {
        starts[g] = -offset * sum;
      }
    }
  }
};

/// s1 * sum1 + s2 * sum2 of the halves of 32 columns: whole numbers below 2^24 (16 * 32 * 127 * 128 at most
/// each, Q6_K), so exact.
TANDEM_INLINE F32x16 sum_of_halves(F32x16 s1, I32x16 sum1, F32x16 s2, I32x16 sum2) {
  return add_exact_product(mul(s1, to_float(sum1)), s2, to_float(sum2));
}

/// What the mins of a block of halves add for one row, but for their factor: mins_of(g) are those of 32
/// columns.  The row's sums and scales are `step` apart.
template <class Mins>
TANDEM_INLINE F32x16 sum_of_mins(const Mins& mins_of, const std::int32_t* x_sums, const float* x_scales,
                                 std::size_t step) {
  F32x16 sum = broadcast(0.0f);
#pragma GCC unroll 8
  for (std::size_t g = 0; g < kPanelGroups; ++g) {
    const F32x16 product = to_float(dot2(mins_of(g), broadcast(x_sums[g * step])));
    sum = add(sum, mul(product, broadcast(x_scales[g * step])));
  }
  return sum;
}

}  // namespace
}  // namespace tandem::cpu
