#pragma once

// Block types times few activation rows, as in decoding: quants go from sixteen rows of W straight into dot
// products, nothing unpacked is written to memory.
//
// Limit: one row waits for memory, more rows for the two ports of 512-bit arithmetic and the two of 512-bit
// loads, which broadcasts of activations keep as busy.  Unpacking and waiting overlap only if memory is asked
// ahead: a core has too few instructions in flight to do both.  Tried and lost: asking further ahead (what is
// asked beyond the end of a stream is wasted), and asking into the second-level cache only; multiplying a
// group after unpacking the next one; eight rows of weights that are not repacked (a panel is as fast, or
// faster).

#include "backends/cpu/panel_row.h"
#include "backends/cpu/plane_source.h"

namespace tandem::cpu {
namespace {

/// Adds kBlocks blocks of sixteen rows, block_at(0) and so on, times N activation rows, where they
/// begin with group `first_group`, to `y`.
template <class Format, int kBlocks, int N, class Blocks>
TANDEM_INLINE void add_blocks(const Blocks& block_at, int first_group, const PanelRow<KindOf<Format>>* x,
                              F32x16 (&y)[N]) {
  constexpr int kBlockGroups = Format::kElems / Format::kGroup, kGroups = kBlocks * kBlockGroups;
  I32x16 sums[kGroups][N];
  F32x16 scales[kGroups], mins[kGroups];
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    const auto from = block_at(block);
    Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
      const int g = block * kBlockGroups + group;
      I32x16 sum[N];
      for (int n = 0; n < N; ++n) sum[n] = broadcast(x[n].starts[first_group + g]);
      int column = (first_group + g) * Format::kGroup;
      // All rows in turn, so that no sum waits for the one before it.
      const auto add_sixteen = [&](const LaneBytes& sixteen) {
#pragma GCC unroll 4
        for (int i = 0; i < LaneBytes::kFours; ++i, column += 4) {
          for (int n = 0; n < N; ++n) {
            sum[n] = dot4<KindOf<Format>>(sum[n], sixteen.four_columns(i), x[n].quants + column);
          }
        }
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
      const F32x16 x_scale = broadcast(x[n].scale(first_group + g));
      F32x16 term = mul(mul(scales[g], x_scale), to_float(sums[g][n]));
      if constexpr (Format::kHasMin) {
        term = add(term, mul(mins[g], broadcast(x[n].min_factors[first_group + g])));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// Adds `columns` columns of sixteen rows of W, from `w` on and `stride` bytes apart, times N activation rows
/// to `sums`; `x` has the rows of the first panel, then those of the next one.
template <class Format, int N>
void multiply_few_rows(const std::uint8_t* w, std::size_t stride, int columns,
                       const PanelRow<KindOf<Format>>* x, float (*sums)[kTileOutputs]) {
  // Enough blocks of 32 at a time to hide how long each takes from first to last, where registers hold them.
#if defined(__AVX512VNNI__)
  constexpr int kBlocks = Format::kElems > 32 ? 1 : N == 1 && Format::kBytes <= 24 ? 4 : 2;
#else
  constexpr int kBlocks = 1;
#endif
  constexpr int kGroups = Format::kElems / Format::kGroup;
  LaneRows rows(w, stride);
  const auto block_at = [&rows](int block) {
    return LaneSource(rows, static_cast<std::size_t>(block * Format::kBytes), Format::kBytes);
  };
  AskAhead ahead;
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  for (; columns >= kPanelColumns; columns -= kPanelColumns, x += N) {
#pragma GCC unroll 1
    for (int g = 0; g < kPanelColumns / Format::kGroup; g += kBlocks * kGroups) {
      ahead.advance(rows, kBlocks * Format::kBytes);
      add_blocks<Format, kBlocks, N>(block_at, g, x, y);
      rows.advance(std::size_t{kBlocks} * Format::kBytes);
    }
  }
  if constexpr (kGroups == 1) {
    for (int g = 0; g < columns / Format::kElems; ++g) {
      add_blocks<Format, 1, N>(block_at, g, x, y);
      rows.advance(Format::kBytes);
    }
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

/// Adds `columns` columns of sixteen rows of W in planes, from panel `at` on, times N activation rows.
template <class Format, int N>
void multiply_few_rows_in_planes(const PanelPlanes& at, int columns, const PanelRow<KindOf<Format>>* x,
                                 float (*sums)[kTileOutputs]) {
  constexpr int kBlocks = Format::kElems > 32 ? 1 : 2;  // as above
  constexpr int kGroups = Format::kElems / Format::kGroup;
  PanelReader<Format> reader(at);
  const auto block_at = [&reader](int block) { return reader.block(block); };
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  for (; columns > 0; columns -= kPanelColumns, x += N) {
#pragma GCC unroll 1
    for (int g = 0; g < kPanelColumns / Format::kGroup; g += kBlocks * kGroups) {
      add_blocks<Format, kBlocks, N>(block_at, g, x, y);
      reader.advance_blocks(kBlocks);
    }
    reader.next_panel();
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

}  // namespace
}  // namespace tandem::cpu
