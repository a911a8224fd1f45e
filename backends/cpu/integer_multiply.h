#pragma once

// Block types times quantised activations:
//
//     y[row] = sum over groups of (scale_w * scale_x) * (sum of quants * x) [+ min_w * (scale_x * sum of x)]
//
// Integer sums are exact, and each lane adds its groups in column order: the result does not depend on how
// many rows are multiplied together, nor on the instruction set.
//
// The sixteen rows of W that are multiplied together lie far apart: each lane reads a run of rows of its own
// from beginning to end.  Sixteen long streams come from memory half again as fast as sixteen rows that
// follow each other.
//
// Many rows: for each group of 32 columns eight dot products take turns with four instructions that scale and
// add, so that two thirds of the dot products a core can do are the most.  Tried and lost: eight rows times
// one panel (as many loads as arithmetic), asking for the next rows ahead, what rows bring to groups as
// vectors.

#include "backends/cpu/few_rows.h"
#include "backends/cpu/lane_outputs.h"
#include "backends/cpu/panel.h"

namespace tandem::cpu {
namespace {

/// Rows of activations at the columns of a panel, evenly apart.
struct PanelRows {
  const std::uint8_t* quants;
  const std::uint8_t* scales;
  std::size_t stride;

  PanelRows(const Activations& x, std::uint32_t first, std::uint32_t in, int column)
      : quants(reinterpret_cast<const std::uint8_t*>(x.row(first)) + column),
        scales(reinterpret_cast<const std::uint8_t*>(x.row(first)) + QuantisedLayout{in}.scales_at() +
               column / 8),
        stride(x.row_bytes) {}

  TANDEM_INLINE float scale(int n, int g32) const {
    float value;
    __builtin_memcpy(&value,
                     scales + static_cast<std::size_t>(n) * stride + static_cast<std::size_t>(4 * g32),
                     sizeof value);
    return value;
  }
  TANDEM_INLINE const std::int8_t* at(int n, int column) const {
    return reinterpret_cast<const std::int8_t*>(quants + static_cast<std::size_t>(n) * stride + column);
  }
};

/// What N activation rows bring to a panel's groups, whichever rows of W these are.
template <class Format, int N>
struct PanelTerms {
  std::int32_t starts[N][kPanelColumns / 16];  ///< of integer sums: what takes the format's offset back
  float min_factors[N][kPanelColumns / 16];    ///< scale * sum of quants; with kHasMin only

  PanelTerms(const Activations& x, std::uint32_t first, std::uint32_t in, int column, int groups) {
    for (int n = 0; n < N; ++n) {
      const RowSlice slice(x, first + static_cast<std::uint32_t>(n), in);
      const int first_group = column / Format::kGroup;
      for (int g = 0; g < groups; ++g) {
        const std::int32_t sum = slice.template sum<Format::kGroup>(first_group + g);
        starts[n][g] = -Format::kOffset * sum;
        if constexpr (Format::kHasMin) {
          min_factors[n][g] = slice.scales[(first_group + g) * Format::kGroup / 32] * static_cast<float>(sum);
        }
      }
    }
  }
};

/// Adds T panels times N activation rows to their sums.
template <class Format, int T, int N>
void multiply_panels(const Panel (&panels)[T], int groups, const PanelRows& x,
                     const PanelTerms<Format, N>& terms, F32x16 (&y)[T][N]) {
  for (int g = 0; g < groups; ++g) {
    I32x16 sum[T][N];
    for (int n = 0; n < N; ++n) {
      for (int t = 0; t < T; ++t) sum[t][n] = broadcast(terms.starts[n][g]);
    }
    for (int u = 0; u < Format::kGroup / 4; ++u) {
      I32x16 w[T];
      for (int t = 0; t < T; ++t) w[t] = load(panels[t].quants[g * Format::kGroup / 4 + u][0]);
      for (int n = 0; n < N; ++n) {
        const I32x16 four = broadcast_four(x.at(n, Format::kGroup * g + 4 * u));
        for (int t = 0; t < T; ++t) sum[t][n] = dot4<Format>(sum[t][n], w[t], four);
      }
    }
    for (int n = 0; n < N; ++n) {
      const F32x16 x_scale = broadcast(x.scale(n, g * Format::kGroup / 32));
      for (int t = 0; t < T; ++t) {
        F32x16 term = mul(mul(load(panels[t].scales[g]), x_scale), to_float(sum[t][n]));
        if constexpr (Format::kHasMin) {
          term = add(term, mul(load(panels[t].mins[g]), broadcast(terms.min_factors[n][g])));
        }
        y[t][n] = add(y[t][n], term);
      }
    }
  }
}

/// Sums of sixteen rows of W for each of many activation rows.
using TileRowSums = float[kTileRows][kTileOutputs];

/// N activation rows from `first` on, their sums kept in `sums` between panels.
template <class Format, int T, int N>
void multiply_rows(const Panel (&panels)[T], int column, int columns, std::uint32_t in, const Activations& x,
                   std::uint32_t first, TileRowSums (&sums)[T]) {
  const int groups = columns / Format::kGroup;
  const PanelRows rows(x, first, in, column);
  const PanelTerms<Format, N> terms(x, first, in, column, groups);
  F32x16 y[T][N];
  for (int t = 0; t < T; ++t) {
    for (int n = 0; n < N; ++n) y[t][n] = load(sums[t][first + static_cast<std::uint32_t>(n)]);
  }
  multiply_panels<Format, T, N>(panels, groups, rows, terms, y);
  for (int t = 0; t < T; ++t) {
    for (int n = 0; n < N; ++n) store(sums[t][first + static_cast<std::uint32_t>(n)], y[t][n]);
  }
}

/// Rows of activations, and times sixteen rows of W, that are multiplied together: as many as registers hold.
inline constexpr int kRowsTogether = 4;
#if defined(__AVX512VNNI__)
inline constexpr int kPanelsTogether = 2;
#else
inline constexpr int kPanelsTogether = 1;
#endif

/// T times sixteen rows of W, one after another from `w` on, times all rows of `x`.
template <class Format, int T>
void multiply_many_rows(const std::uint8_t* w, std::size_t row_bytes, std::size_t stride, std::uint32_t in,
                        const Activations& x, TileRowSums (&sums)[T]) {
  for (TileRowSums& of_tile : sums) __builtin_memset(of_tile, 0, x.n * sizeof of_tile[0]);
  Panel panels[T];
  for (int column = 0; column < static_cast<int>(in); column += kPanelColumns) {
    const int left = static_cast<int>(in) - column;
    const int columns = left < kPanelColumns ? left : kPanelColumns;
    const std::uint8_t* first = w + static_cast<std::size_t>(column / Format::kElems) * Format::kBytes;
    for (std::size_t t = 0; t < T; ++t) {
      fill_panel<Format>(LaneRows(first + t * kTileOutputs * row_bytes, stride), columns, panels[t]);
    }
    std::uint32_t row = 0;
    for (; row + kRowsTogether <= x.n; row += kRowsTogether) {
      multiply_rows<Format, T, kRowsTogether>(panels, column, columns, in, x, row, sums);
    }
    for (; row < x.n; ++row) multiply_rows<Format, T, 1>(panels, column, columns, in, x, row, sums);
  }
}

/// Rows that need no panel.  With sixteen registers more than one row takes longer than through a panel.
#if defined(__AVX512VNNI__)
inline constexpr std::uint32_t kFewRows = 8;
#else
inline constexpr std::uint32_t kFewRows = 1;
#endif

/// All rows of x, at most N.
template <class Format, int N>
void multiply_few(const std::uint8_t* w, std::size_t row_bytes, std::uint32_t in, std::uint32_t n_out,
                  const Activations& x, float* y, std::size_t y_stride) {
  alignas(64) float sums[N][kTileOutputs] = {};
  for (int column = 0; column < static_cast<int>(in); column += kFewRowsColumns) {
    const int left = static_cast<int>(in) - column;
    const int columns = left < kFewRowsColumns ? left : kFewRowsColumns;
    const FewRows<Format, N> rows(x, in, column, columns);
    const std::uint8_t* first = w + static_cast<std::size_t>(column / Format::kElems) * Format::kBytes;
    for_lanes(LaneOrder::streams, n_out, [&](const LaneOutputs& outputs) {
      load_lanes(y, y_stride, outputs, x.n, column == 0, sums);
      multiply_few_rows<Format, N>(first + outputs.first * row_bytes, outputs.step * row_bytes, columns, rows,
                                   sums);
      store_lanes(sums, outputs, x.n, y, y_stride);
    });
  }
}

/// Any number of rows.  Memory has time enough, and results that lie together are stored at once.
template <class Format>
void multiply_many(const std::uint8_t* w, std::size_t row_bytes, std::uint32_t in, std::uint32_t n_out,
                   const Activations& x, float* y, std::size_t y_stride) {
  alignas(64) TileRowSums sums[kPanelsTogether];
  const auto store_tile = [&](const TileRowSums& of_tile, std::uint32_t first, std::uint32_t lanes) {
    for (std::uint32_t r = 0; r < x.n; ++r) {
      __builtin_memcpy(y + r * y_stride + first, of_tile[r], lanes * sizeof of_tile[r][0]);
    }
  };
  constexpr std::uint32_t kOutputs = kPanelsTogether * kTileOutputs;
  std::uint32_t out = 0;
  for (; out + kOutputs <= n_out; out += kOutputs) {
    multiply_many_rows<Format>(w + out * row_bytes, row_bytes, row_bytes, in, x, sums);
    for (std::uint32_t t = 0; t < kPanelsTogether; ++t)
      store_tile(sums[t], out + t * kTileOutputs, kTileOutputs);
  }
  alignas(64) TileRowSums one[1];
  while (out < n_out) {
    const std::uint32_t lanes = n_out - out < kTileOutputs ? 1 : kTileOutputs;
    multiply_many_rows<Format>(w + out * row_bytes, row_bytes, lanes == 1 ? 0 : row_bytes, in, x, one);
    store_tile(one[0], out, lanes);
    out += lanes;
  }
}

template <class Format>
void multiply_blocks(const device::Matrix& w, std::uint32_t first_out, std::uint32_t n_out,
                     const Activations& x, float* y, std::size_t y_stride) noexcept {
  const std::size_t row_bytes = w.in / static_cast<std::size_t>(Format::kElems) * Format::kBytes;
  const auto* first = static_cast<const std::uint8_t*>(w.data) + first_out * row_bytes;
  float* y_first = y + first_out;
  if (x.n > kFewRows) return multiply_many<Format>(first, row_bytes, w.in, n_out, x, y_first, y_stride);
  if (x.n == 1) return multiply_few<Format, 1>(first, row_bytes, w.in, n_out, x, y_first, y_stride);
  if constexpr (kFewRows > 1) {
    if (x.n <= 4) return multiply_few<Format, 4>(first, row_bytes, w.in, n_out, x, y_first, y_stride);
    multiply_few<Format, 8>(first, row_bytes, w.in, n_out, x, y_first, y_stride);
  }
}

}  // namespace
}  // namespace tandem::cpu
