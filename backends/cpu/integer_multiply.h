#pragma once

// Block types times quantised activations.  Sixteen rows of W at a time are unpacked, 256 columns at a time,
// into a panel whose lanes are the rows; then every activation row multiplies that panel:
//
//     y[row] = sum over groups of (scale_w * scale_x) * (sum of quants * x) [+ min_w * (scale_x * sum of x)]
//
// Integer sums are exact, and each lane adds its groups in column order: the result does not depend on how
// many rows share the panel, nor on the instruction set.

#include "backends/cpu/blocks.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

inline constexpr int kPanelColumns = 256;

/// Sixteen rows of W, 256 columns: lane = row.
struct Panel {
  alignas(64) std::uint8_t quants[kPanelColumns / 4][kTileOutputs][4];
  alignas(64) float scales[kPanelColumns / 16][kTileOutputs];
  alignas(64) float mins[kPanelColumns / 16][kTileOutputs];
};

/// Sixteen rows as they were unpacked.
struct UnpackedRows {
  alignas(64) std::uint8_t quants[kTileOutputs][kPanelColumns];
};

/// Transposes units of four columns so that a vector holds the same four columns of all sixteen rows.
/// Register j takes row 4L + j into its 128-bit lane L, and unpacking within lanes does the rest.
inline void interleave(const UnpackedRows& rows, int columns, Panel& panel) {
  for (int c = 0; c < columns; c += 16) {
    I32x16 r[4];
    for (int j = 0; j < 4; ++j) {
      const std::uint8_t* const quarters[4] = {&rows.quants[j][c], &rows.quants[4 + j][c],
                                               &rows.quants[8 + j][c], &rows.quants[12 + j][c]};
      r[j] = gather(quarters);
    }
    const I32x16 low01 = unpack_lo32(r[0], r[1]), high01 = unpack_hi32(r[0], r[1]);
    const I32x16 low23 = unpack_lo32(r[2], r[3]), high23 = unpack_hi32(r[2], r[3]);
    std::uint8_t* out = panel.quants[c / 4][0];
    store(out, unpack_lo64(low01, low23));
    store(out + 64, unpack_hi64(low01, low23));
    store(out + 128, unpack_lo64(high01, high23));
    store(out + 192, unpack_hi64(high01, high23));
  }
}

/// Columns [column, column + columns) of sixteen rows; rows beyond the last one repeat it.
template <class Format>
void fill_panel(const std::uint8_t* first, std::size_t row_bytes, std::uint32_t n_out, int column,
                int columns, Panel& panel) {
  UnpackedRows rows;
  const std::size_t offset = static_cast<std::size_t>(column / Format::kElems) * Format::kBytes;
  for (std::uint32_t r = 0; r < kTileOutputs; ++r) {
    const std::uint8_t* block = first + (r < n_out ? r : n_out - 1) * row_bytes + offset;
    for (int c = 0; c < columns; c += Format::kElems, block += Format::kBytes) {
      const int group = c / Format::kGroup;
      Format::unpack(block,
                     {&rows.quants[r][c], &panel.scales[group][r], &panel.mins[group][r], kTileOutputs});
    }
  }
  interleave(rows, columns, panel);
}

/// One activation row's part of a panel.
struct RowSlice {
  const std::int8_t* quants;
  const float* scales;
  const std::int16_t* sums;
};

/// Adds a panel times N activation rows to their sums.
template <class Format, int N>
void multiply_panel(const Panel& panel, int columns, const RowSlice (&x)[N], F32x16 (&y)[N]) {
  constexpr int kUnits = Format::kGroup / 4;
  for (int g = 0; g < columns / Format::kGroup; ++g) {
    std::int32_t x_sum[N];
    I32x16 sum[N];
    for (int n = 0; n < N; ++n) {
      x_sum[n] = Format::kGroup == 16 ? x[n].sums[g] : x[n].sums[2 * g] + x[n].sums[2 * g + 1];
      sum[n] = broadcast(-Format::kOffset * x_sum[n]);
    }
    for (int u = 0; u < kUnits; ++u) {
      const I32x16 w = load(panel.quants[g * kUnits + u][0]);
      for (int n = 0; n < N; ++n) {
        std::int32_t four;
        __builtin_memcpy(&four, x[n].quants + Format::kGroup * g + 4 * u, sizeof four);
        if constexpr (Format::kMaxQuant > 63) {
          sum[n] = dot4_wide(sum[n], w, broadcast(four));
        } else {
          sum[n] = dot4_narrow(sum[n], w, broadcast(four));
        }
      }
    }
    const F32x16 scale = load(panel.scales[g]);
    for (int n = 0; n < N; ++n) {
      const float x_scale = x[n].scales[g * Format::kGroup / 32];
      F32x16 term = mul(mul(scale, broadcast(x_scale)), to_float(sum[n]));
      if constexpr (Format::kHasMin) {
        term = add(term, mul(load(panel.mins[g]), broadcast(x_scale * static_cast<float>(x_sum[n]))));
      }
      y[n] = add(y[n], term);
    }
  }
}

/// N activation rows from `first` on, their sums kept in `sums` between panels.
template <class Format, int N>
void multiply_rows(const Panel& panel, int column, int columns, std::uint32_t in, const Activations& x,
                   std::uint32_t first, float (*sums)[kTileOutputs]) {
  const QuantisedLayout layout{in};
  RowSlice slices[N];
  F32x16 y[N];
  for (int n = 0; n < N; ++n) {
    const std::byte* row = x.row(first + static_cast<std::uint32_t>(n));
    slices[n] = {reinterpret_cast<const std::int8_t*>(row) + column,
                 reinterpret_cast<const float*>(row + layout.scales_at()) + column / 32,
                 reinterpret_cast<const std::int16_t*>(row + layout.sums_at()) + column / 16};
    y[n] = load(sums[first + static_cast<std::uint32_t>(n)]);
  }
  multiply_panel<Format, N>(panel, columns, slices, y);
  for (int n = 0; n < N; ++n) store(sums[first + static_cast<std::uint32_t>(n)], y[n]);
}

/// Rows that multiply a panel together: as many as the registers hold.
#if defined(__AVX512VNNI__)
inline constexpr std::uint32_t kRowsTogether = 8;
#else
inline constexpr std::uint32_t kRowsTogether = 4;
#endif

template <class Format>
void multiply_blocks(const device::Matrix& w, std::uint32_t first_out, std::uint32_t n_out,
                     const Activations& x, float* y, std::size_t y_stride) noexcept {
  const std::size_t row_bytes = w.in / static_cast<std::size_t>(Format::kElems) * Format::kBytes;
  const std::uint8_t* first = static_cast<const std::uint8_t*>(w.data) + first_out * row_bytes;
  alignas(64) float sums[kTileRows][kTileOutputs];
  __builtin_memset(sums, 0, x.n * sizeof sums[0]);
  Panel panel;
  const int in = static_cast<int>(w.in);
  for (int column = 0; column < in; column += kPanelColumns) {
    const int columns = in - column < kPanelColumns ? in - column : kPanelColumns;
    fill_panel<Format>(first, row_bytes, n_out, column, columns, panel);
    std::uint32_t row = 0;
    for (; row + kRowsTogether <= x.n; row += kRowsTogether) {
      multiply_rows<Format, kRowsTogether>(panel, column, columns, w.in, x, row, sums);
    }
    for (; row + 2 <= x.n; row += 2) multiply_rows<Format, 2>(panel, column, columns, w.in, x, row, sums);
    if (row < x.n) multiply_rows<Format, 1>(panel, column, columns, w.in, x, row, sums);
  }
  for (std::uint32_t r = 0; r < x.n; ++r) {
    __builtin_memcpy(y + r * y_stride + first_out, sums[r], n_out * sizeof(float));
  }
}

}  // namespace
}  // namespace tandem::cpu
