#pragma once

// F32, F16 and BF16 weights times fp32 activations.  Sixteen fp32 sums a result, column i in lane i % 16,
// added up as a fixed tree at the end: the order does not depend on the rows in the call, nor on the
// instruction set.
//
// Limit: memory with one row, which is why that one reads sixteen streams of weights where there are
// registers for as many sums; multiplying and adding, never fused, with many.  Weights in panels are read
// front to back instead (float_panels.h).  Tried and lost: asking further ahead (as fast), four and eight
// streams (no faster), two (up to a twentieth faster, where panels are a tenth).

#include "backends/cpu/float_panels.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/lane_outputs.h"
#include "backends/cpu/lanes.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

/// Weights are asked for so far ahead, 448 bytes, as those of blocks are.
template <class Format>
inline constexpr std::size_t kAheadElements = 448 / sizeof(typename Format::Element);

template <class Format, int kOutputs, int kRows>
void multiply_tile(const typename Format::Element* const (&w)[kOutputs], const float* const (&x)[kRows],
                   std::uint32_t in, float (*y)[kRows]) {
  F32x16 sum[kOutputs][kRows];
  for (auto& of_output : sum) {
    for (F32x16& lanes : of_output) lanes = broadcast(0.0f);
  }
  std::size_t column = 0;
  for (; column + 16 <= in; column += 16) {
    for (int o = 0; o < kOutputs; ++o) __builtin_prefetch(w[o] + column + kAheadElements<Format>);
    multiply_step<Format, kOutputs, kRows>(w, x, column, sum);
  }
  if (column < in) {  // the tail, padded with zeros
    typename Format::Element w_tail[kOutputs][16] = {};
    float x_tail[kRows][16] = {};
    const typename Format::Element* w_at[kOutputs];
    const float* x_at[kRows];
    for (int o = 0; o < kOutputs; ++o) {
      __builtin_memcpy(w_tail[o], w[o] + column, (in - column) * sizeof w_tail[o][0]);
      w_at[o] = w_tail[o];
    }
    for (int r = 0; r < kRows; ++r) {
      __builtin_memcpy(x_tail[r], x[r] + column, (in - column) * sizeof(float));
      x_at[r] = x_tail[r];
    }
    multiply_step<Format, kOutputs, kRows>(w_at, x_at, 0, sum);
  }
  for (int o = 0; o < kOutputs; ++o) {
    for (int r = 0; r < kRows; ++r) y[o][r] = reduce_add(sum[o][r]);
  }
}

inline constexpr std::uint32_t kFloatOutputs = 4;

/// Rows [first, first + kRows) of x.
template <int kRows>
struct RowsTogether {
  const float* rows[kRows];

  RowsTogether(const Activations& x, std::uint32_t first) {
    for (std::uint32_t r = 0; r < kRows; ++r) rows[r] = reinterpret_cast<const float*>(x.row(first + r));
  }
};

/// The first n_out results of each row to y, rows of which are y_stride apart.
template <int kRows>
TANDEM_INLINE void store_results(const float (&results)[kFloatOutputs][kRows], std::uint32_t n_out, float* y,
                                 std::size_t y_stride) {
  for (std::uint32_t o = 0; o < n_out; ++o) {
    for (std::uint32_t r = 0; r < kRows; ++r) y[r * y_stride + o] = results[o][r];
  }
}

/// Sixteen rows of W times one row of x, `in` columns, a multiple of sixteen.
template <class Format>
void multiply_float_streams(LaneRows rows, const float* x, std::uint32_t in, float (&y)[kTileOutputs]) {
  using Element = typename Format::Element;
  F32x16 sum[kTileOutputs];
  for (F32x16& lanes : sum) lanes = broadcast(0.0f);
  AskAhead ahead;
  for (std::uint32_t column = 0; column < in; column += 16) {
    ahead.advance(rows, 16 * static_cast<int>(sizeof(Element)));
    const F32x16 x_lanes = load(x + column);
#pragma GCC unroll 16
    for (int o = 0; o < static_cast<int>(kTileOutputs); ++o) {
      const F32x16 w_lanes = Format::load16(reinterpret_cast<const Element*>(rows.row(o)));
      sum[o] = add(sum[o], mul(w_lanes, x_lanes));
    }
    rows.advance(16 * sizeof(Element));
  }
  for (int o = 0; o < static_cast<int>(kTileOutputs); ++o) y[o] = reduce_add(sum[o]);
}

/// One row of x times as many outputs as whole tiles hold; says how many these are.
template <class Format>
std::uint32_t multiply_one_row(const typename Format::Element* w, std::uint32_t in, std::uint32_t n_out,
                               const float* x, float* y) {
  const std::uint32_t outputs = in % 16 == 0 ? n_out / kTileOutputs * kTileOutputs : 0;
  for_lanes(LaneOrder::streams, outputs, [&](const LaneOutputs& tile) {
    float sums[1][kTileOutputs];
    const std::size_t row_bytes = in * sizeof *w;
    const auto* first = reinterpret_cast<const std::uint8_t*>(w) + tile.first * row_bytes;
    multiply_float_streams<Format>(LaneRows(first, tile.step * row_bytes), x, in, sums[0]);
    store_lanes(sums, tile, 1, y, 0);
  });
  return outputs;
}

template <class Format>
void multiply_floats(const device::Matrix& w, std::uint32_t first_out, std::uint32_t n_out,
                     const Activations& x, float* y, std::size_t y_stride) noexcept {
  using Element = typename Format::Element;
  const auto* const data = static_cast<const Element*>(w.data) + std::size_t{first_out} * w.in;
  y += first_out;
  if (w.layout == device::WeightLayout::panels) {
    return multiply_float_panels<Format>(data, w.in, n_out, x, y, y_stride);
  }
  std::uint32_t done = 0;
  if constexpr (kSumsInRegisters >= kTileOutputs) {
    if (x.n == 1) {
      done = multiply_one_row<Format>(data, w.in, n_out, reinterpret_cast<const float*>(x.row(0)), y);
    }
  }
  for (std::uint32_t o = done; o < n_out; o += kFloatOutputs) {
    // Outputs beyond n_out repeat the last one and are dropped.
    const std::uint32_t outputs = n_out - o < kFloatOutputs ? n_out - o : kFloatOutputs;
    const Element* rows[kFloatOutputs];
    for (std::uint32_t k = 0; k < kFloatOutputs; ++k) {
      rows[k] = data + static_cast<std::size_t>(o + (k < outputs ? k : outputs - 1)) * w.in;
    }
    for_rows_together<4>(x.n, [&](auto count, std::uint32_t first) {
      constexpr int kRows = decltype(count)::value;
      float results[kFloatOutputs][kRows];
      multiply_tile<Format, kFloatOutputs, kRows>(rows, RowsTogether<kRows>(x, first).rows, w.in, results);
      store_results(results, outputs, y + first * y_stride + o, y_stride);
    });
  }
}

}  // namespace
}  // namespace tandem::cpu
