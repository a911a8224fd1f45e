#pragma once

// Block types times few activation rows, as in decoding: quants go from sixteen rows of W straight into dot
// products, nothing unpacked is written to memory.

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

template <class Format>
TANDEM_INLINE I32x16 dot4(I32x16 sum, I32x16 weights, const std::int8_t* x) {
  std::int32_t four;
  __builtin_memcpy(&four, x, sizeof four);
  if constexpr (Format::kMaxQuant > 63) {
    return dot4_wide(sum, weights, broadcast(four));
  } else {
    return dot4_narrow(sum, weights, broadcast(four));
  }
}

/// Adds kBlocks blocks from `first_group` on, of sixteen rows at `rows`, times N activation rows to `y`.
template <class Format, int kBlocks, int N>
TANDEM_INLINE void multiply_blocks_of_few(const LaneRows& rows, int first_group, const RowSlice (&x)[N],
                                          F32x16 (&y)[N]) {
  constexpr int kBlockGroups = Format::kElems / Format::kGroup, kGroups = kBlocks * kBlockGroups;
  std::int32_t starts[N][kGroups];
  float min_factors[N][kGroups];
  for (int n = 0; n < N; ++n) {
    for (int g = 0; g < kGroups; ++g) {
      const std::int32_t sum = x[n].template sum<Format::kGroup>(first_group + g);
      starts[n][g] = -Format::kOffset * sum;
      min_factors[n][g] = x[n].scales[(first_group + g) * Format::kGroup / 32] * static_cast<float>(sum);
    }
  }
  I32x16 sums[kGroups][N];
  F32x16 scales[kGroups], mins[kGroups];
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    const LaneSource from{rows, static_cast<std::size_t>(block * Format::kBytes)};
    Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
      const int g = block * kBlockGroups + group;
      for (int n = 0; n < N; ++n) {
        I32x16 sum = broadcast(starts[n][g]);
        const std::int8_t* quants = x[n].quants + (first_group + g) * Format::kGroup;
        const auto add_sixteen = [&](const LaneBytes& sixteen) {
#pragma GCC unroll 4
          for (int i = 0; i < LaneBytes::kFours; ++i) {
            sum = dot4<Format>(sum, sixteen.four_columns(i), quants + 4 * i);
          }
          quants += 16;
        };
        (add_sixteen(sixteens), ...);
        sums[g][n] = sum;
      }
    });
    Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
      const int g = block * kBlockGroups + group;
      scales[g] = __builtin_bit_cast(F32x16, scale);
      ((mins[g] = __builtin_bit_cast(F32x16, min)), ...);
    });
  }
  for (int g = 0; g < kGroups; ++g) {
    for (int n = 0; n < N; ++n) {
      const F32x16 x_scale = broadcast(x[n].scales[(first_group + g) * Format::kGroup / 32]);
      F32x16 term = mul(mul(scales[g], x_scale), to_float(sums[g][n]));
      if constexpr (Format::kHasMin) term = add(term, mul(mins[g], broadcast(min_factors[n][g])));
      y[n] = add(y[n], term);
    }
  }
}

/// Sixteen rows of W, `stride` bytes apart, times the first N rows of `x`; rows beyond x.n repeat the last
/// one.
template <class Format, int N>
void multiply_few_rows(const std::uint8_t* w, std::size_t stride, std::uint32_t in, const Activations& x,
                       float (*sums)[kTileOutputs]) {
  // Enough blocks of 32 at a time to hide how long each takes from first to last, where registers hold them.
#if defined(__AVX512VNNI__)
  constexpr int kBlocks = Format::kElems > 32 || N > 4 ? 1 : 4 / N;
#else
  constexpr int kBlocks = 1;
#endif
  constexpr int kGroups = Format::kElems / Format::kGroup;
  const auto slice = [&](std::uint32_t n) { return RowSlice(x, n < x.n ? n : x.n - 1, in); };
  const auto multiply = [&](const RowSlice(&slices)[N]) {
    LaneRows rows(w, stride);
    F32x16 y[N];
    for (F32x16& lanes : y) lanes = broadcast(0.0f);
    const int blocks = static_cast<int>(in) / Format::kElems;
    int block = 0;
    for (; block + kBlocks <= blocks; block += kBlocks) {
      multiply_blocks_of_few<Format, kBlocks, N>(rows, block * kGroups, slices, y);
      rows.advance(std::size_t{kBlocks} * Format::kBytes);
    }
    if constexpr (kBlocks > 1) {
      for (; block < blocks; ++block) {
        multiply_blocks_of_few<Format, 1, N>(rows, block * kGroups, slices, y);
        rows.advance(Format::kBytes);
      }
    }
    for (int n = 0; n < N; ++n) store(sums[n], y[n]);
  };
  if constexpr (N == 1) {
    multiply({slice(0)});
  } else if constexpr (N == 4) {
    multiply({slice(0), slice(1), slice(2), slice(3)});
  } else {
    multiply({slice(0), slice(1), slice(2), slice(3), slice(4), slice(5), slice(6), slice(7)});
  }
}

}  // namespace
}  // namespace tandem::cpu
