#pragma once

// Block types times few activation rows, as in decoding: quants go from sixteen rows of W straight into dot
// products, nothing unpacked is written to memory.
//
// Limit: one row waits for memory, more rows for the two ports of 512-bit arithmetic and the two of 512-bit
// loads, which broadcasts of activations keep as busy.  Unpacking and waiting overlap only if memory is asked
// ahead: a core has too few instructions in flight to do both.  Tried and lost: asking further ahead (what is
// asked beyond the end of a stream is wasted), and asking into the second-level cache only; multiplying a
// group after unpacking the next one; tiles (AMX), whose loads, products and stores take longer for a group
// of eight rows than its dot products, also when they work on one group while the next is unpacked.

#include "backends/cpu/lanes.h"
#include "backends/cpu/quantised_row.h"

namespace tandem::cpu {
namespace {

/// What one activation row brings to a group.
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

  /// Sum of the quants of group `g` of kGroup columns.
  template <int kGroup>
  TANDEM_INLINE std::int32_t sum(int g) const {
    return kGroup == 16 ? sums[g] : sums[2 * g] + sums[2 * g + 1];
  }
};

/// Four quants of a row for every lane.
TANDEM_INLINE I32x16 broadcast_four(const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  return broadcast(four);
}

template <class Format>
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, I32x16 x) {
  if constexpr (Format::kMaxQuant > 63) {
    return dot4_wide(sum, weights, x);
  } else {
    return dot4_narrow(sum, weights, x);
  }
}

/// The same with four quants in memory.
template <class Format>
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, const std::int8_t* x) {
#if defined(__AVX512VNNI__)
  // As one instruction, which the compiler makes two of: fewer in flight a product.
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(weights), "m"(*reinterpret_cast<const std::int32_t*>(x)));
  return sum;
#else
  return dot4<Format>(sum, weights, broadcast_four(x));
#endif
}

/// Most columns that are multiplied without storing sums in between.
inline constexpr int kFewRowsColumns = 16384;

/// Up to kFewRowsColumns columns of N activation rows, laid out for one pointer to reach them all, with what
/// every sixteen rows of W need of them computed once.  About 200 KiB where N is 8.
template <class Format, int N>
struct FewRows {
  static constexpr int kGroups = kFewRowsColumns / Format::kGroup;

  alignas(
      64) std::int8_t quants[N][kFewRowsColumns + 128];  ///< apart by no power of two, which caches dislike
  float scales[kFewRowsColumns / 32][N];
  std::int32_t starts[kGroups][N];  ///< of integer sums: what takes the format's offset back
  float min_factors[kGroups][N];    ///< scale * sum of quants; with kHasMin only

  /// `columns` columns from `column` on; rows beyond x.n repeat the last one.
  FewRows(const Activations& x, std::uint32_t in, int column, int columns) {
    for (int n = 0; n < N; ++n) {
      const std::uint32_t row = static_cast<std::uint32_t>(n) < x.n ? static_cast<std::uint32_t>(n) : x.n - 1;
      const RowSlice slice(x, row, in);
      __builtin_memcpy(quants[n], slice.quants + column, static_cast<std::size_t>(columns));
      for (int g = 0; g < columns / 32; ++g) scales[g][n] = slice.scales[column / 32 + g];
      for (int g = 0; g < columns / Format::kGroup; ++g) {
        const std::int32_t sum = slice.template sum<Format::kGroup>(column / Format::kGroup + g);
        starts[g][n] = -Format::kOffset * sum;
        if constexpr (Format::kHasMin) {
          min_factors[g][n] = scales[g * Format::kGroup / 32][n] * static_cast<float>(sum);
        }
      }
    }
  }
};

/// Adds kBlocks blocks from `first_group` on, of sixteen rows at `rows`, times N activation rows to `y`.
template <class Format, int kBlocks, int N>
TANDEM_INLINE void multiply_blocks_of_few(const LaneRows& rows, int first_group, const FewRows<Format, N>& x,
                                          F32x16 (&y)[N]) {
  constexpr int kBlockGroups = Format::kElems / Format::kGroup, kGroups = kBlocks * kBlockGroups;
  I32x16 sums[kGroups][N];
  F32x16 scales[kGroups], mins[kGroups];
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    const LaneSource from{rows, static_cast<std::size_t>(block * Format::kBytes), Format::kBytes};
    Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
      const int g = block * kBlockGroups + group;
      I32x16 sum[N];
      for (int n = 0; n < N; ++n) sum[n] = broadcast(x.starts[first_group + g][n]);
      int column = (first_group + g) * Format::kGroup;
      // All rows in turn, so that no sum waits for the one before it.
      const auto add_sixteen = [&](const LaneBytes& sixteen) {
#pragma GCC unroll 4
        for (int i = 0; i < LaneBytes::kFours; ++i) {
          for (int n = 0; n < N; ++n) {
            sum[n] = dot4<Format>(sum[n], sixteen.four_columns(i), x.quants[n] + column + 4 * i);
          }
        }
        column += 16;
      };
      (add_sixteen(sixteens), ...);
      for (int n = 0; n < N; ++n) sums[g][n] = sum[n];
    });
    Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
      const int g = block * kBlockGroups + group;
      scales[g] = __builtin_bit_cast(F32x16, scale);
      ((mins[g] = __builtin_bit_cast(F32x16, min)), ...);
    });
  }
  for (int g = 0; g < kGroups; ++g) {
    for (int n = 0; n < N; ++n) {
      const F32x16 x_scale = broadcast(x.scales[(first_group + g) * Format::kGroup / 32][n]);
      F32x16 term = mul(mul(scales[g], x_scale), to_float(sums[g][n]));
      if constexpr (Format::kHasMin) {
        term = add(term, mul(mins[g], broadcast(x.min_factors[first_group + g][n])));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// Adds `columns` columns of sixteen rows of W, from `w` on and `stride` bytes apart, times the rows of `x`
/// to `sums`.
template <class Format, int N>
void multiply_few_rows(const std::uint8_t* w, std::size_t stride, int columns, const FewRows<Format, N>& x,
                       float (*sums)[kTileOutputs]) {
  // Enough blocks of 32 at a time to hide how long each takes from first to last, where registers hold them.
#if defined(__AVX512VNNI__)
  constexpr int kBlocks = Format::kElems > 32 ? 1 : N == 1 ? 4 : 2;
#else
  constexpr int kBlocks = 1;
#endif
  constexpr int kGroups = Format::kElems / Format::kGroup;
  LaneRows rows(w, stride);
  AskAhead ahead;
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  const int blocks = columns / Format::kElems;
  int block = 0;
  for (; block + kBlocks <= blocks; block += kBlocks) {
    ahead.advance(rows, kBlocks * Format::kBytes);
    multiply_blocks_of_few<Format, kBlocks, N>(rows, block * kGroups, x, y);
    rows.advance(std::size_t{kBlocks} * Format::kBytes);
  }
  if constexpr (kBlocks > 1) {
    for (; block < blocks; ++block) {
      multiply_blocks_of_few<Format, 1, N>(rows, block * kGroups, x, y);
      rows.advance(Format::kBytes);
    }
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

}  // namespace
}  // namespace tandem::cpu
