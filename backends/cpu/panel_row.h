#pragma once

// Quantised activations, and dot products of unpacked quants with them.

#include <type_traits>

#include "backends/cpu/lanes.h"
#include "backends/cpu/quantised_row.h"

namespace tandem::cpu {
namespace {

/// How integer products are added up: by instructions that add four to an int32, or two to an int16 and those
/// modulo 2^16.  Where a group's sum less the type's offset fits into int16, it does not matter what
/// overflows on the way, so that the sum begins with that offset.
enum class Products {
  in_int32,     ///< one instruction, up to four products
  in_int16,     ///< a group's, in two int16 a lane
  centred,      ///< the same of groups with mins whose quants have five bits: 16 is taken off and added back
  signed_bytes  ///< four columns at a time, quants of 8 bits taken as signed: they lose their offset
};

/// What is taken off quants of five bits.
inline constexpr int kCentre = 16;

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
  static constexpr bool kCentred = kProducts == Products::centred;
  static constexpr bool kInInt16 = kProducts == Products::in_int16 || kCentred;
  /// Whether sums begin with what takes an offset back; types with mins have none.
  static constexpr bool kStarts = kCentred || (!kMins && kProducts != Products::signed_bytes);
};

/// Whether two int16 hold the sum of `columns` products, whatever the activations: quants in [-offset,
/// max_quant - offset] times [-127, 127].
constexpr bool fits_int16(int columns, int offset, int max_quant) {
  const int most = offset > max_quant - offset ? offset : max_quant - offset;
  return columns / 2 * most * 127 <= 32767;
}

template <class Format>
constexpr Products products_of() {
  constexpr int kColumns = Format::kGroup, kMost = Format::kMaxQuant;
  if (Simd::kDots == Dots::of_four) return Products::in_int32;
  if (Simd::kDots == Dots::of_four_signed) return kMost < 128 ? Products::in_int32 : Products::signed_bytes;
  if (fits_int16(kColumns, Format::kOffset, kMost)) return Products::in_int16;
  return Format::kHasMin && fits_int16(kColumns, kCentre, kMost) ? Products::centred : Products::signed_bytes;
}

template <class Format>
using KindOf = Kind<Format::kGroup, Format::kHasMin, products_of<Format>()>;

/// The kind for so many activation rows that quants are worth scaling, where that is known how to do and all
/// bytes can be multiplied alike: quants of two or three bits.
template <class Format>
inline constexpr bool kScales =
    KindOf<Format>::kHalves&& KindOf<Format>::kProducts == Products::in_int32&& Format::kMaxQuant < 8;
template <class Format>
inline constexpr Products kScaledProducts =
    Simd::kDots == Dots::of_four_signed&& Format::kOffset != 0 ? Products::signed_bytes : Products::in_int32;
template <class Format>
using ScaledKindOf =
    std::conditional_t<kScales<Format>, Kind<32, Format::kHasMin, kScaledProducts<Format>, true>,
                       KindOf<Format>>;

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

/// Two int16 of 1.
inline constexpr std::int32_t kTwoOnes = 0x00010001;

/// Four quants of a row for every lane.
template <class Ints>
TANDEM_INLINE Ints broadcast_four(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return broadcast_as(As<Ints>{}, four);
}

/// Adds four products of bytes to each sum.
template <class Ints>
TANDEM_INLINE Ints dot4(Ints sum, Ints weights, const std::int8_t* x) {
  return dot4(sum, weights, broadcast_four<Ints>(x));
}

/// Adds the products of four columns of rows of W and of an activation row.
template <class Kind, class Ints>
TANDEM_INLINE Ints add_four(Ints sum, Ints weights, const std::int8_t* x) {
  if constexpr (Simd::kDots != Dots::of_two) {
    return dot4(sum, weights, x);
  } else {
    const Ints four = broadcast_four<Ints>(x);
    if constexpr (Kind::kInInt16) {
      return as_it_is(add_words(sum, multiply_bytes(weights, four)));
    } else {
      return as_it_is(dot2(sum, multiply_signed_bytes(weights, four), broadcast_as(As<Ints>{}, kTwoOnes)));
    }
  }
}

/// Unpacked quants as they are multiplied.
template <class Kind>
TANDEM_INLINE LaneBytes as_multiplied(const LaneBytes& quants) {
  if constexpr (Kind::kProducts == Products::signed_bytes) return quants ^ 128;
  return quants;
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
  std::int32_t starts[Kind::kStarts ? kGroups : 1];    ///< of integer sums: takes the type's offset back
  std::int32_t centres[Kind::kCentred ? kGroups : 1];  ///< what is added back
  float min_factors[Kind::kHasMin && !Kind::kFactors ? kGroups : 1];      ///< scale * sum of quants
  std::int32_t sums[Kind::kHasMin && Kind::kFactors ? kPanelGroups : 1];  ///< of both halves, int16 each

  /// What the integer sum of group `g` begins with, of quants times 2^up.
  template <class Ints>
  TANDEM_INLINE Ints start(int g, int up = 0) const {
    return broadcast_as(As<Ints>{}, Kind::kStarts ? starts[g] << up : 0);
  }

  /// The integer sum of group `g` as int32.
  template <class Ints>
  TANDEM_INLINE Ints whole(Ints sum, int g) const {
    if constexpr (!Kind::kInInt16) return sum;
    const Ints ones = broadcast_as(As<Ints>{}, kTwoOnes);
    if constexpr (Kind::kCentred) return dot2(broadcast_as(As<Ints>{}, centres[g]), sum, ones);
    return dot2(sum, ones);
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
      if constexpr (Kind::kCentred) centres[g] = kCentre * sum;
      if constexpr (Kind::kStarts && !Kind::kInInt16) starts[g] = -offset * sum;
    }
    if constexpr (Kind::kStarts && Kind::kInInt16) fill_starts(columns, Kind::kCentred ? kCentre : offset);
  }

  /// The starts of sums in int16, four groups at a time: -offset times the sums of the columns that meet in
  /// either int16.  What there is behind the columns is nobody's.
  TANDEM_INLINE void fill_starts(int columns, int offset) {
    constexpr int kGroup = Kind::kGroup;
    const auto offsets = broadcast_as(As<SixteenBytes>{}, offset * 0x01010101);
    const auto sixteen = [&](int column) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(quants + column);
      return multiply_bytes(offsets, load_as(As<SixteenBytes>{}, bytes));
    };
    for (int column = 0; column < columns; column += 4 * kGroup) {
      SixteenBytes group[4];
#pragma GCC unroll 4
      for (int g = 0; g < 4; ++g) {
        const int at = column + g * kGroup;
        group[g] = Kind::kHalves ? sixteen(at) : add_words(sixteen(at), sixteen(at + 16));
      }
      const auto low = add_words(unpack_lo32(group[0], group[1]), unpack_hi32(group[0], group[1]));
      const auto high = add_words(unpack_lo32(group[2], group[3]), unpack_hi32(group[2], group[3]));
      const auto all = add_words(unpack_lo64(low, high), unpack_hi64(low, high));
      store(reinterpret_cast<std::uint8_t*>(starts + column / kGroup),
            sub_words(broadcast_as(As<SixteenBytes>{}, 0), all));
    }
  }
};

/// Adds the products of sixteen columns of rows of W, four_columns(0) to four_columns(3), and of N activation
/// rows from `column` on.
template <int N, class Kind, class Weights, class Ints>
TANDEM_INLINE void add_sixteen(const Weights& four_columns, const PanelRow<Kind>* x, int column, Ints* sum) {
  // All rows in turn, so that no sum waits for the one before it.
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const Ints weights = four_columns(i);
    for (int n = 0; n < N; ++n) sum[n] = add_four<Kind>(sum[n], weights, x[n].quants + column + 4 * i);
  }
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
