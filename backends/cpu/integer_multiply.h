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

#include "backends/cpu/few_rows.h"
#include "backends/cpu/lane_outputs.h"
#include "backends/cpu/panel.h"

namespace tandem::cpu {
namespace {

/// Adds a panel times N activation rows to their sums.
template <class Format, int N>
void multiply_panel(const Panel& panel, int columns, int column, const RowSlice (&x)[N], F32x16 (&y)[N]) {
  const int first_group = column / Format::kGroup;
  for (int g = 0; g < columns / Format::kGroup; ++g) {
    std::int32_t x_sum[N];
    I32x16 sum[N];
    for (int n = 0; n < N; ++n) {
      x_sum[n] = x[n].template sum<Format::kGroup>(first_group + g);
      sum[n] = broadcast(-Format::kOffset * x_sum[n]);
    }
    for (int u = 0; u < Format::kGroup / 4; ++u) {
      const I32x16 w = load(panel.quants[g * Format::kGroup / 4 + u][0]);
      for (int n = 0; n < N; ++n) {
        sum[n] = dot4<Format>(sum[n], w, x[n].quants + column + Format::kGroup * g + 4 * u);
      }
    }
    const F32x16 scale = load(panel.scales[g]);
    for (int n = 0; n < N; ++n) {
      const float x_scale = x[n].scales[(first_group + g) * Format::kGroup / 32];
      F32x16 term = mul(mul(scale, broadcast(x_scale)), to_float(sum[n]));
      if constexpr (Format::kHasMin) {
        term = add(term, mul(load(panel.mins[g]), broadcast(x_scale * static_cast<float>(x_sum[n]))));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// N activation rows from `first` on, their sums kept in `sums` between panels.
template <class Format, int N, std::size_t... kRow>
void multiply_rows(const Panel& panel, int column, int columns, std::uint32_t in, const Activations& x,
                   std::uint32_t first, float (*sums)[kTileOutputs], std::index_sequence<kRow...>) {
  const RowSlice slices[N] = {RowSlice(x, first + static_cast<std::uint32_t>(kRow), in)...};
  F32x16 y[N] = {load(sums[first + kRow])...};
  multiply_panel<Format, N>(panel, columns, column, slices, y);
  (store(sums[first + kRow], y[kRow]), ...);
}

/// Rows that multiply a panel together: as many as the registers hold.
#if defined(__AVX512VNNI__)
inline constexpr std::uint32_t kRowsTogether = 8;
#else
inline constexpr std::uint32_t kRowsTogether = 4;
#endif

/// Sixteen rows of W, `stride` bytes apart, times all rows of `x`.
template <class Format>
void multiply_many_rows(const std::uint8_t* w, std::size_t stride, std::uint32_t in, const Activations& x,
                        float (*sums)[kTileOutputs]) {
  __builtin_memset(sums, 0, x.n * sizeof sums[0]);
  Panel panel;
  LaneRows rows(w, stride);
  for (int column = 0; column < static_cast<int>(in); column += kPanelColumns) {
    const int left = static_cast<int>(in) - column;
    const int columns = left < kPanelColumns ? left : kPanelColumns;
    fill_panel<Format>(rows, columns, panel);
    rows.advance(std::size_t{kPanelColumns} / Format::kElems * Format::kBytes);
    std::uint32_t row = 0;
    for (; row + kRowsTogether <= x.n; row += kRowsTogether) {
      multiply_rows<Format, kRowsTogether>(panel, column, columns, in, x, row, sums,
                                           std::make_index_sequence<kRowsTogether>{});
    }
    for (; row < x.n; ++row) {
      multiply_rows<Format, 1>(panel, column, columns, in, x, row, sums, std::make_index_sequence<1>{});
    }
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
  alignas(64) float sums[kTileRows][kTileOutputs];
  for_lanes(LaneOrder::neighbours, n_out, [&](const LaneOutputs& outputs) {
    multiply_many_rows<Format>(w + outputs.first * row_bytes, outputs.step * row_bytes, in, x, sums);
    for (std::uint32_t r = 0; r < x.n; ++r) {
      __builtin_memcpy(y + r * y_stride + outputs.first, sums[r], outputs.lanes * sizeof sums[r][0]);
    }
  });
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
