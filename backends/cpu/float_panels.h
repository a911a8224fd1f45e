#pragma once

// Float weights in panels (repacked.h) times fp32 activations, front to back: one long stream.  Sums and
// their order are those of float_multiply.h, results the same bits.
//
// Limit: memory with up to four rows, multiplying and adding with more.  Tried and lost, with rows as in the
// file in the same huge pages: sixteen streams and four rows side by side, however they are asked for; one
// row after another is as fast for one row of activations, but those of four and eight come from the
// second-level cache for every few rows of W, where 256 columns of them stay in the first.  For one row,
// asking twice; for four, asking once (bench/results/2026-11-roofline.md, "Float types").

#include <type_traits>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/repacked_source.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

struct F32Elements {
  using Element = float;
  TANDEM_INLINE static F32x16 load16(const float* from) { return load(from); }
};
struct F16Elements {
  using Element = std::uint16_t;
  TANDEM_INLINE static F32x16 load16(const std::uint16_t* from) { return load_half(from); }
};
struct BF16Elements {
  using Element = std::uint16_t;
  TANDEM_INLINE static F32x16 load16(const std::uint16_t* from) { return load_bf16(from); }
};

/// One step of sixteen columns for kOutputs rows of W and kRows of x.
template <class Format, int kOutputs, int kRows>
TANDEM_INLINE void multiply_step(const typename Format::Element* const (&w)[kOutputs],
                                 const float* const (&x)[kRows], std::size_t column,
                                 F32x16 (&sum)[kOutputs][kRows]) {
  F32x16 x_lanes[kRows];
  for (int r = 0; r < kRows; ++r) x_lanes[r] = load(x[r] + column);
  for (int o = 0; o < kOutputs; ++o) {
    const F32x16 w_lanes = Format::load16(w[o] + column);
    for (int r = 0; r < kRows; ++r) sum[o][r] = add(sum[o][r], mul(w_lanes, x_lanes[r]));
  }
}

/// Columns of a field of a row, one sum each; the fields of sixteen rows follow each other.
inline constexpr std::uint32_t kFieldColumns = kFloatFieldElems;

/// Rows of W and of x whose sums registers hold together, and rows of W with one row of x.
inline constexpr int kFieldOutputs = kSumsInRegisters >= 16 ? 4 : 2, kFieldRows = kFieldOutputs;
inline constexpr int kFieldOutputsOfOneRow = kSumsInRegisters;

/// Rows of x that a panel is multiplied by while it is in the first-level cache.
inline constexpr std::uint32_t kRowsOfFloatPanel = 8;

/// Of a row of x and sixteen rows of W: sixteen lanes each.
using FloatSums = float[kTileOutputs][kFieldColumns];

/// Calls visit(count, first) for rows [first, first + count) of `n`: kMost at a time, then half as many.
template <int kMost, class Visitor>
TANDEM_INLINE void for_rows_together(std::uint32_t n, const Visitor& visit, std::uint32_t first = 0) {
  for (; first + kMost <= n; first += kMost) visit(std::integral_constant<int, kMost>{}, first);
  if constexpr (kMost > 1) for_rows_together<kMost / 2>(n, visit, first);
}

/// Rows of x, from the column on that a panel begins with.
struct FloatColumns {
  const float* first;
  std::size_t stride;  ///< from row to row
  std::uint32_t n;
};

/// Adds kOutputs of a panel's sixteen rows, from `output` on, the first field of which is at `w`, times kRows
/// rows of x to `sums`, a row each, and asks for what comes later than the lines from `line` on, as many as
/// it reads.
template <class Format, int kOutputs, int kRows, Asks kAsks>
TANDEM_INLINE void add_fields(const typename Format::Element* w, const std::uint8_t* line, const float* x,
                              std::size_t stride, std::uint32_t output, FloatSums* sums) {
  constexpr std::size_t kBytes = kOutputs * kFieldColumns * sizeof *w;
  F32x16 sum[kOutputs][kRows];
  for (int o = 0; o < kOutputs; ++o) {
    for (int r = 0; r < kRows; ++r) sum[o][r] = load(sums[r][output + o]);
  }
#pragma GCC unroll 1
  for (std::uint32_t column = 0; column < kPackedColumns; column += kFieldColumns) {
    const typename Format::Element* fields[kOutputs];
    const float* rows[kRows];
    for (int o = 0; o < kOutputs; ++o) fields[o] = w + o * kFieldColumns;
    for (int r = 0; r < kRows; ++r) rows[r] = x + r * stride;
#pragma GCC unroll 16
    for (std::size_t at = 0; at < kBytes; at += 64) ask_ahead_of_panel<kAsks>(line + at);
    multiply_step<Format, kOutputs, kRows>(fields, rows, 0, sum);
    w += kTileOutputs * kFieldColumns;
    x += kFieldColumns;
    line += kBytes;
  }
  for (int o = 0; o < kOutputs; ++o) {
    for (int r = 0; r < kRows; ++r) store(sums[r][output + o], sum[o][r]);
  }
}

/// The same for all sixteen rows of the panel at `w`.
template <class Format, int kRows, Asks kAsks>
TANDEM_INLINE void add_panel(const typename Format::Element* w, const float* x, std::size_t stride,
                             FloatSums* sums) {
  constexpr int kOutputs = kRows == 1 ? kFieldOutputsOfOneRow : kFieldOutputs;
  const auto* line = reinterpret_cast<const std::uint8_t*>(w);
  for (std::uint32_t o = 0; o < kTileOutputs; o += kOutputs) {
    add_fields<Format, kOutputs, kRows, kAsks>(w + o * kFieldColumns, line, x, stride, o, sums);
    line += kPackedColumns * kOutputs * sizeof *w;
  }
}

/// Sixteen rows of W, panel after panel from `w` on, times at most kRowsOfFloatPanel rows of x.  The first of
/// these ask for weights, which others then find in the second-level cache.
template <class Format, bool kFirst>
void multiply_float_group(const typename Format::Element* w, std::uint32_t in, FloatColumns x, float* y,
                          std::size_t y_stride) {
  alignas(64) FloatSums sums[kRowsOfFloatPanel];
  __builtin_memset(sums, 0, x.n * sizeof sums[0]);
  for (std::uint32_t column = 0; column < in; column += kPackedColumns) {
    for_rows_together<kFieldRows>(x.n, [&](auto count, std::uint32_t first) {
      constexpr int kRows = decltype(count)::value;
      constexpr Asks kAsks = !kFirst ? Asks::never : kRows == 1 ? Asks::once : Asks::twice;
      const float* const from = x.first + first * x.stride + column;
      if (first == 0) {
        add_panel<Format, kRows, kAsks>(w, from, x.stride, sums);
      } else {
        add_panel<Format, kRows, Asks::never>(w, from, x.stride, sums + first);
      }
    });
    w += kTileOutputs * kPackedColumns;
  }
  for (std::uint32_t r = 0; r < x.n; ++r) {
    for (std::uint32_t o = 0; o < kTileOutputs; ++o) y[r * y_stride + o] = reduce_add(load(sums[r][o]));
  }
}

/// Rows of W in panels, n_out of them from `w` on, times all rows of x; both are multiples of sixteen rows.
template <class Format>
void multiply_float_panels(const typename Format::Element* w, std::uint32_t in, std::uint32_t n_out,
                           const Activations& x, float* y, std::size_t y_stride) {
  const std::size_t stride = x.row_bytes / sizeof(float);
  for (std::uint32_t o = 0; o < n_out; o += kTileOutputs) {
    const auto* const group = w + std::size_t{o} * in;
    for (std::uint32_t first = 0; first < x.n; first += kRowsOfFloatPanel) {
      const std::uint32_t n = x.n - first < kRowsOfFloatPanel ? x.n - first : kRowsOfFloatPanel;
      const FloatColumns some{reinterpret_cast<const float*>(x.row(first)), stride, n};
      float* const to = y + first * y_stride + o;
      if (first == 0) {
        multiply_float_group<Format, true>(group, in, some, to, y_stride);
      } else {
        multiply_float_group<Format, false>(group, in, some, to, y_stride);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::cpu
