#pragma once

// Block types times quantised activations.  Sixteen rows of W at a time are unpacked, 256 columns at a time,
// into a panel whose lanes are the rows; then every activation row multiplies that panel:
//
//     y[row] = sum over groups of (scale_w * scale_x) * (sum of quants * x) [+ min_w * (scale_x * sum of x)]
//
// Integer sums are exact, and each lane adds its groups in column order: the result does not depend on how
// many rows share the panel, nor on the instruction set.

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/panel.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

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
  RowPointers rows;
  for (std::uint32_t r = 0; r < kTileOutputs; ++r) {  // rows beyond the last one repeat it
    const std::size_t output = first_out + (r < n_out ? r : n_out - 1);
    rows[r] = static_cast<const std::uint8_t*>(w.data) + output * row_bytes;
  }
  alignas(64) float sums[kTileRows][kTileOutputs];
  __builtin_memset(sums, 0, x.n * sizeof sums[0]);
  Panel panel;
  const int in = static_cast<int>(w.in);
  for (int column = 0; column < in; column += kPanelColumns) {
    const int columns = in - column < kPanelColumns ? in - column : kPanelColumns;
    fill_panel<Format>(rows, column, columns, panel);
    prefetch_panel<Format>(rows, column + 2 * kPanelColumns);
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
