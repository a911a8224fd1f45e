#pragma once

// Quantised activations, and dot products of unpacked quants with them.

#include <type_traits>

#include "backends/cpu/lanes.h"
#include "backends/cpu/quantised_row.h"

namespace tandem::cpu {
namespace {

/// How integer products are added up: by instructions that add four to an int32, or in int16, as many as
/// cannot overflow those.
enum class Products {
  in_words,       ///< one instruction, up to four products
  eight_bytes,    ///< of two times four columns, quants of at most 6 bits
  sixteen_bytes,  ///< of four times four columns, quants of at most 5 bits
  signed_bytes    ///< of four columns, quants of 8 bits taken as signed: they lose their offset
};

/// What the arithmetic on unpacked quants depends on, whichever block type they come from: columns that share
/// a scale, whether there are mins, and how products are added up.
template <int kColumns, bool kMins, Products kProductsAre, bool kQuantsAreScaled = false>
struct Kind {
  static constexpr int kGroup = kColumns;
  static constexpr bool kScaled = kQuantsAreScaled;     ///< scaled_quants.h
  static constexpr bool kHalves = kColumns == 16;       ///< half of what shares a scale of the activations
  static constexpr bool kFactors = kHalves || kScaled;  ///< a block's whole numbers have a factor
  static constexpr bool kHasMin = kMins;
  static constexpr Products kProducts = kProductsAre;
  /// Whether sums begin with what takes an offset back; types with mins have none.
  static constexpr bool kStarts = !kMins && kProducts != Products::signed_bytes;
};

constexpr Products products_of([[maybe_unused]] int max_quant) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  return Products::in_words;
#else
  constexpr int kMost = 32767 / (2 * 127);
  if (4 * max_quant <= kMost) return Products::sixteen_bytes;
  return 2 * max_quant <= kMost ? Products::eight_bytes : Products::signed_bytes;
#endif
}

template <class Format>
using KindOf = Kind<Format::kGroup, Format::kHasMin, products_of(Format::kMaxQuant)>;

/// The kind for so many activation rows that quants are worth scaling, where that is known how to do and all
/// bytes can be multiplied alike: quants of two or three bits.
template <class Format>
inline constexpr bool kScales =
    KindOf<Format>::kHalves&& KindOf<Format>::kProducts == Products::in_words&& Format::kMaxQuant < 8;
template <class Format>
using ScaledKindOf =
    std::conditional_t<kScales<Format>, Kind<32, Format::kHasMin, Products::in_words, true>, KindOf<Format>>;

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
template <class Ints>
TANDEM_INLINE Ints broadcast_four(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return broadcast_as(As<Ints>{}, four);
}

#if defined(__AVX512VNNI__)
/// Adds four products of bytes to each sum.
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, const std::int8_t* x) {
  // As one instruction, which the compiler makes two of: fewer in flight a product.
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(weights), "m"(*reinterpret_cast<const std::int32_t*>(x)));
  return sum;
}
/// The same for twice as many, broadcast once.
TANDEM_INLINE Pair<I32x16> dot4(Pair<I32x16> sum, Pair<I32x16> weights, const std::int8_t* x) {
  const I32x16 four = broadcast_four<I32x16>(x);
  return {_mm512_dpbusd_epi32(sum.lo, weights.lo, four), _mm512_dpbusd_epi32(sum.hi, weights.hi, four)};
}
#elif defined(__AVXVNNI__)
template <class Ints>
TANDEM_INLINE Ints dot4(Ints sum, Ints weights, const std::int8_t* x) {
  return dot4(sum, weights, broadcast_four<Ints>(x));
}
#endif

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
  std::int32_t starts[Kind::kStarts ? kGroups : 1];  ///< of integer sums: takes the type's offset back
  float min_factors[Kind::kHasMin && !Kind::kFactors ? kGroups : 1];      ///< scale * sum of quants
  std::int32_t sums[Kind::kHasMin && Kind::kFactors ? kPanelGroups : 1];  ///< of both halves, int16 each

  /// What the integer sum of group `g` begins with.
  template <class Ints>
  TANDEM_INLINE Ints start(int g) const {
    return broadcast_as(As<Ints>{}, Kind::kStarts ? starts[g] : 0);
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
    if constexpr (Kind::kHasMin && Kind::kFactors) {
      __builtin_memcpy(sums, row_sums, static_cast<std::size_t>(columns) / 8);
      return;
    }
    for (int g = 0; g < columns / Kind::kGroup; ++g) {
      const auto i = static_cast<std::size_t>(g);
      const std::int32_t sum = Kind::kHalves ? row_sums[i] : row_sums[2 * i] + row_sums[2 * i + 1];
      if constexpr (Kind::kHasMin) min_factors[g] = scales[g] * static_cast<float>(sum);
      if constexpr (Kind::kStarts) starts[g] = -offset * sum;
    }
  }
};

/// Adds the products of sixteen columns of rows of W, four_columns(0) to four_columns(3), and of N activation
/// rows from `column` on.
template <int N, class Kind, class Weights, class Ints>
TANDEM_INLINE void add_sixteen(const Weights& four_columns, const PanelRow<Kind>* x, int column, Ints* sum) {
#if defined(__AVX512VNNI__) || defined(__AVXVNNI__)
  // All rows in turn, so that no sum waits for the one before it.
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Ints weights = four_columns(i);
    for (int n = 0; n < N; ++n) sum[n] = dot4(sum[n], weights, x[n].quants + column + 4 * i);
  }
#else
  constexpr int kTogether = Kind::kProducts == Products::sixteen_bytes ? 4
                            : Kind::kProducts == Products::eight_bytes ? 2
                                                                       : 1;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i += kTogether) {
    Ints words[N];
#pragma GCC unroll 4
    for (int four = i; four < i + kTogether; ++four) {
      const Ints weights = four_columns(four);
      for (int n = 0; n < N; ++n) {
        const Ints x_four = broadcast_four<Ints>(x[n].quants + column + 4 * four);
        const Ints products = Kind::kProducts == Products::signed_bytes
                                  ? multiply_flipped_bytes(weights, x_four)
                                  : multiply_bytes(weights, x_four);
        words[n] = four == i ? products : add_words(words[n], products);
      }
    }
    for (int n = 0; n < N; ++n) sum[n] = add_both(sum[n], words[n]);
  }
#endif
}

/// s1 * sum1 + s2 * sum2 of the halves of 32 columns: whole numbers below 2^24 (16 * 32 * 127 * 128 at most
/// each, Q6_K), so exact.
template <class Floats, class Ints>
TANDEM_INLINE Floats sum_of_halves(Floats s1, Ints sum1, Floats s2, Ints sum2) {
  return add_exact_product(mul(s1, to_float(sum1)), s2, to_float(sum2));
}

/// What the mins of a block of halves add for one row, but for their factor: mins_of(g) are those of 32
/// columns.  The row's sums and scales are `step` apart.
template <class Floats, class Mins>
TANDEM_INLINE Floats sum_of_mins(const Mins& mins_of, const std::int32_t* x_sums, const float* x_scales,
                                 std::size_t step) {
  using Ints = decltype(mins_of(0));
  Floats sum = broadcast_as(As<Floats>{}, 0.0f);
#pragma GCC unroll 8
  for (std::size_t g = 0; g < kPanelGroups; ++g) {
    const Floats product = to_float(dot2(mins_of(g), broadcast_as(As<Ints>{}, x_sums[g * step])));
    sum = add(sum, mul(product, broadcast_as(As<Floats>{}, x_scales[g * step])));
  }
  return sum;
}

}  // namespace
}  // namespace tandem::cpu
