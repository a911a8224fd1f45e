#pragma once

// Block types times quantised activations:
//
//     y[row] = sum over groups of (scale_w * scale_x) * (sum of quants * x) [+ min_w * (scale_x * sum of x)]
//
// and for block types with a scale s every 16 columns, half of what shares one of the activations,
//
//     y[row] = sum over blocks of scale_w * (sum over 32 columns of scale_x * (s1 * sum1 + s2 * sum2))
//              [+ min_w * (sum over 32 columns of scale_x * (m1 * sum1 of x + m2 * sum2 of x))]
//
// where the innermost sums are whole numbers below 2^24, exact as integers and as floats.
//
// Integer sums are exact, and each lane adds its groups in column order: the result does not depend on how
// many rows are multiplied together, nor on the instruction set.
//
// With few rows and weights as they are in the file, the sixteen rows of W that are multiplied together lie
// far apart: each lane reads a run of rows of its own from beginning to end.  Sixteen long streams come from
// memory half again as fast as sixteen rows that follow each other.
//
// Many rows: for each group of 32 columns eight dot products take turns with four instructions that scale and
// add, six with mins.  On Intel both share two ports of 512-bit arithmetic, so that two thirds of the dot
// products a core can do are the most; on Zen 5, where additions and conversions have ports of their own,
// four fifths, once two panels share what is broadcast of four rows (one panel times eight rows takes as many
// loads as the core can do) and a group is scaled amid the dot products of the next (panel_multiply.h).  24
// rows meet sixteen panels while they are in the first-level cache; meanwhile, the next ones are taken apart
// (row_blocks.h) and the weights of the next columns are asked for, a few lines at a time.  Tried and lost:
// twelve rows or six instead of eight together, six or eight rows times two panels (no faster, and slower in
// parts), 16 or 48 rows instead of 24, what rows bring to groups as vectors, asking for the next panels, or
// for those that are about to be written, in the first-level cache.
//
// With AVX2, products of up to 32 columns are added up in int16, modulo 2^16 (panel_row.h), then meet a 1 or
// the whole scale of half a group in one VPMADDWD.  Zen 5 does two multiplications, two loads and four
// instructions of any kind a cycle; loads were most until all sixteen rows of a panel shared a broadcast.
// Quants of eight bits fill an int16 with two products: VPSIGNB, VPMADDUBSW, VPMADDWD and VPADDD for four
// columns, 38 instructions where fewer bits need 22, half of the loop's rate at most.  Tried and lost: int16
// in pairs, two VPMADDWD.
//
// What a kernel does with unpacked quants depends on the kind of a block type only, so that each kind is
// compiled once and block types bring functions that unpack.

#include <bit>

#include "backends/cpu/few_rows.h"
#include "backends/cpu/lane_outputs.h"
#include "backends/cpu/panel_multiply.h"
#include "backends/cpu/row_blocks.h"

namespace tandem::cpu {
namespace {

/// Repacked weights of a block type as kernels see them.
template <class Kind>
struct RepackedFormat {
  using FewRowsKernel = void (*)(const PanelPlace& at, int columns, const PanelRow<Kind>* x,
                                 float (*sums)[kTileOutputs]);

  PanelPlace (*place)(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) = nullptr;
  void (*fill)(const PanelPlace& at, Panel& panel) = nullptr;  ///< asks for what follows in memory
  void (*fill_asked)(const PanelPlace& at, Panel& panel) = nullptr;
  void (*ask)(const PanelPlace& at, std::size_t first_line, std::size_t end) = nullptr;
  std::size_t panel_lines = 0;
  FewRowsKernel few_rows[4] = {};  ///< by the logarithm of the number of rows; null where panels are faster
};

template <class Format, class Kind, class Reader>
constexpr RepackedFormat<Kind> repacked_format() {
  RepackedFormat<Kind> format;
  format.place = Reader::place;
  format.fill = fill_repacked_panel<Format, Kind, Reader>;
  format.fill_asked = fill_repacked_panel<Format, Kind, typename Reader::ForManyRows>;
  format.ask = ask_for_lines<Format>;
  format.panel_lines = kPanelLines<Format>;
  if constexpr (kHoldsSixteenRows && !Kind::kScaled) {
    format.few_rows[0] = multiply_few_repacked<Format, typename Reader::ForOneRow, 1>;
    format.few_rows[1] = multiply_few_repacked<Format, Reader, 2>;
    format.few_rows[2] = multiply_few_repacked<Format, Reader, 4>;
  }
  if constexpr (kSumsInRegisters >= 16 && (Kind::kScaled || !kScales<Format>)) {
    format.few_rows[3] = multiply_few_repacked<Format, Reader, 8, Kind>;
  }
  return format;
}

/// A block type as kernels see it that are shared by all types of a kind.
template <class Kind>
struct WeightFormat {
  using FewRowsKernel = void (*)(const std::uint8_t* w, std::size_t stride, int columns,
                                 const PanelRow<Kind>* x, float (*sums)[kTileOutputs]);

  void (*fill)(const std::uint8_t* w, std::size_t stride, int columns, Panel& panel) = nullptr;
  FewRowsKernel few_rows[5] = {};  ///< by the number of rows; null where panels are faster
  RepackedFormat<Kind> planes = {}, panels = {};
  int elems = 0, bytes = 0;
  int offset = 0;

  std::size_t bytes_of(int columns) const {
    return static_cast<std::size_t>(columns / elems) * static_cast<std::size_t>(bytes);
  }
};

/// A block type as a kind.  Quants that are scaled have kernels only where those are faster.
template <class Format, class Kind>
constexpr WeightFormat<Kind> weight_format() {
  WeightFormat<Kind> format;
  format.fill = fill_panel<Format, Kind>;
  format.planes = repacked_format<Format, Kind, PlaneReader<Format>>();
  format.panels = repacked_format<Format, Kind, PanelReader<Format>>();
  format.elems = Format::kElems;
  format.bytes = Format::kBytes;
  format.offset = Kind::kScaled ? kScaledOffset : Format::kOffset;
  if constexpr (kHoldsSixteenRows && !Kind::kScaled) {
    format.few_rows[1] = multiply_few_rows<Format, 1>;
    format.few_rows[2] = multiply_few_rows<Format, 2>;
    format.few_rows[4] = multiply_few_rows<Format, 4>;
  }
  return format;
}
template <class Format, class Kind = KindOf<Format>>
inline constexpr WeightFormat<Kind> kWeightFormat = weight_format<Format, Kind>();

static_assert(Q8_0::kOffset == 128 && IQ4_NL::kOffset == 128 && IQ4_XS::kOffset == 128,
              "what Products::signed_bytes takes off");

/// Rows of W as multiply kernels get them.
template <class Kind>
struct Weights {
  const WeightFormat<Kind>& format;
  const device::Matrix& matrix;
  std::uint32_t first_out;
  std::uint32_t n_out;
  int in;
  std::size_t row_bytes;
  const RepackedFormat<Kind>* repacked;  ///< null where rows follow each other
  const std::uint8_t* first;             ///< row `first_out` where they do

  Weights(const WeightFormat<Kind>& of, const device::Matrix& w, std::uint32_t first_row,
          std::uint32_t outputs)
      : format(of),
        matrix(w),
        first_out(first_row),
        n_out(outputs),
        in(static_cast<int>(w.in)),
        row_bytes(of.bytes_of(in)),
        repacked(w.layout == device::WeightLayout::rows     ? nullptr
                 : w.layout == device::WeightLayout::planes ? &of.planes
                                                            : &of.panels),
        first(static_cast<const std::uint8_t*>(w.data) + first_out * row_bytes) {}

  /// The panel of sixteen repacked rows from `out` on that begins with column `column`.
  PanelPlace place(std::uint32_t out, int column) const {
    return repacked->place(matrix, first_out + out, static_cast<std::uint32_t>(column / kPanelColumns));
  }

  /// Unpacks `columns` columns of `lanes` rows, sixteen or one, and asks for those that follow.
  void fill(std::uint32_t out, std::uint32_t lanes, int column, int columns, Panel& panel) const {
    if (repacked != nullptr) return repacked->fill(place(out, column), panel);
    fill_from_rows(out, lanes, column, columns, panel);
  }
  /// The same of panels that PanelsAhead asked for.
  void fill_asked(std::uint32_t out, std::uint32_t lanes, int column, int columns, Panel& panel) const {
    if (repacked != nullptr) return repacked->fill_asked(place(out, column), panel);
    fill_from_rows(out, lanes, column, columns, panel);
  }

 private:
  void fill_from_rows(std::uint32_t out, std::uint32_t lanes, int column, int columns, Panel& panel) const {
    const std::uint8_t* rows = first + out * row_bytes + format.bytes_of(column);
    format.fill(rows, lanes == 1 ? 0 : row_bytes, columns, panel);
  }
};

/// Most rows that are multiplied together by one panel and by two: as many as registers hold, and where
/// weights change their form for each, twice as many.
inline constexpr std::uint32_t kRowsTogether = kSumsInRegisters >= 16 ? 8 : 4;
inline constexpr std::uint32_t kRowsOfTwoPanels = kSumsInRegisters >= 16 ? 4 : 0;

/// Most rows whose terms are computed once for all rows of W.
inline constexpr std::uint32_t kFewRows = 8;

/// Adds a panel times `n` rows to `sums`: N rows at a time, then half as many, as long as there are so many.
template <class Kind, std::uint32_t N = kRowsTogether>
TANDEM_INLINE void multiply_rows(const Panel& panel, int columns, std::uint32_t n, const PanelRow<Kind>* x,
                                 float (*sums)[kTileOutputs]) {
  std::uint32_t row = 0;
  for (; row + N <= n; row += N) {
    multiply_panel<Kind, N>(panel, columns / Kind::kGroup, x + row, sums + row);
  }
  if constexpr (N > 1) multiply_rows<Kind, N / 2>(panel, columns, n - row, x + row, sums + row);
}

/// The same for two panels, to first[row] and to second[row].
template <class Kind, std::uint32_t N = kRowsOfTwoPanels>
TANDEM_INLINE void multiply_rows(const Panel* panels, int columns, std::uint32_t n, const PanelRow<Kind>* x,
                                 float (*first)[kTileOutputs], float (*second)[kTileOutputs]) {
  std::uint32_t row = 0;
  for (; row + N <= n; row += N) {
    multiply_two_panels<Kind, N>(panels, columns / Kind::kGroup, x + row, first + row, second + row);
  }
  if constexpr (N > 1) {
    multiply_rows<Kind, N / 2>(panels, columns, n - row, x + row, first + row, second + row);
  }
}

/// Most columns that few rows are multiplied at without storing sums in between.
inline constexpr int kFewRowsColumns = 16384;

/// The rows of `x` panel by panel, up to kFewRowsColumns columns: 200 KiB at most.
template <class Kind>
struct FewRows {
  PanelRow<Kind> rows[kFewRowsColumns / kPanelColumns * kFewRows];

  /// `n` >= x.n of them: the last one repeated.
  FewRows(const Weights<Kind>& w, const Activations& x, std::uint32_t n, int column, int columns) {
    for (std::uint32_t r = 0; r < n; ++r) {
      const RowSlice slice(x, r < x.n ? r : x.n - 1, static_cast<std::uint32_t>(w.in));
      PanelRow<Kind>* row = rows + r;
      for (int at = 0; at < columns; at += kPanelColumns, row += n) {
        row->fill(slice, column + at, columns - at < kPanelColumns ? columns - at : kPanelColumns,
                  w.format.offset);
      }
    }
  }
};

/// Adds `columns` columns of sixteen rows of W times `n` rows to `sums`, through panels: fill(at, columns,
/// panel) unpacks the columns from `at` on.
template <class Kind, class Fill>
TANDEM_INLINE void add_through_panels(const Fill& fill, int columns, std::uint32_t n, const PanelRow<Kind>* x,
                                      float (*sums)[kTileOutputs]) {
  Panel panel;
  for (int at = 0; at < columns; at += kPanelColumns, x += n) {
    const int panel_columns = columns - at < kPanelColumns ? columns - at : kPanelColumns;
    fill(at, panel_columns, panel);
    multiply_rows<Kind>(panel, panel_columns, n, x, sums);
  }
}

/// The kernel for at least `n` <= kFewRows rows of repacked weights, whose rows are a power of two; null if
/// panels are faster or weights not repacked.
template <class Kind>
typename RepackedFormat<Kind>::FewRowsKernel few_rows_repacked(const Weights<Kind>& w, std::uint32_t n) {
  return w.repacked == nullptr ? nullptr : w.repacked->few_rows[std::bit_width(n - 1)];
}

/// Adds columns [column, column + columns) of the sixteen or one rows that `outputs` names.
template <class Kind>
void add_few(const Weights<Kind>& w, const LaneOutputs& outputs, int column, int columns, std::uint32_t n,
             const PanelRow<Kind>* x, float (*sums)[kTileOutputs]) {
  if (w.repacked != nullptr) {
    const auto kernel = few_rows_repacked(w, n);
    if (kernel != nullptr) return kernel(w.place(outputs.first, column), columns, x, sums);
    return add_through_panels(
        [&](int at, int, Panel& panel) { w.repacked->fill(w.place(outputs.first, column + at), panel); },
        columns, n, x, sums);
  }
  const std::uint8_t* first = w.first + outputs.first * w.row_bytes + w.format.bytes_of(column);
  const std::size_t stride = outputs.step * w.row_bytes;
  if (const auto kernel = n < 5 ? w.format.few_rows[n] : nullptr)
    return kernel(first, stride, columns, x, sums);
  add_through_panels(
      [&](int at, int panel_columns, Panel& panel) {
        w.format.fill(first + w.format.bytes_of(at), stride, panel_columns, panel);
      },
      columns, n, x, sums);
}

/// At most kFewRows rows.
template <class Kind>
void multiply_few(const Weights<Kind>& w, const Activations& x, float* y, std::size_t y_stride) {
  alignas(64) float sums[kFewRows][kTileOutputs] = {};
  const LaneOrder order = w.repacked != nullptr ? LaneOrder::neighbours : LaneOrder::streams;
  // With repacked weights a kernel for more rows than there are is faster than panels.
  const bool round_up = few_rows_repacked(w, x.n) != nullptr;
  const std::uint32_t n = round_up ? std::bit_ceil(x.n) : x.n;
  for (int column = 0; column < w.in; column += kFewRowsColumns) {
    const int columns = w.in - column < kFewRowsColumns ? w.in - column : kFewRowsColumns;
    const FewRows<Kind> few(w, x, n, column, columns);
    for_lanes(order, w.n_out, [&](const LaneOutputs& outputs) {
      load_lanes(y, y_stride, outputs, x.n, column == 0, sums);
      add_few(w, outputs, column, columns, n, few.rows, sums);
      store_lanes(sums, outputs, x.n, y, y_stride);
    });
  }
}

/// Most rows that meet weights eight after eight, as few rows do: unpacking weights for each eight costs less
/// than writing them to panels, until there are rows enough to share those.  Halves cost more to unpack;
/// where they are scaled, panels are as fast from nine rows on.
template <class Kind>
inline constexpr std::uint32_t kMostRowsInPasses = Kind::kScaled   ? kFewRows
                                                   : Kind::kHalves ? 16
                                                                   : 24;

/// At most kMostRowsInPasses rows of repacked weights, of which so many rows of W stay in the second-level
/// cache until all have met them.
template <class Kind>
void multiply_in_passes(const Weights<Kind>& w, const Activations& x, float* y, std::size_t y_stride) {
  constexpr std::uint32_t kOutputs = 128;
  for (std::uint32_t out = 0; out < w.n_out; out += kOutputs) {
    const Weights<Kind> some(w.format, w.matrix, w.first_out + out,
                             w.n_out - out < kOutputs ? w.n_out - out : kOutputs);
    for (std::uint32_t row = 0; row < x.n; row += kFewRows) {
      multiply_few(some, x.part(row, kFewRows), y + out + row * y_stride, y_stride);
    }
  }
}

/// Times sixteen rows of W that share what is read of many activation rows.
inline constexpr std::uint32_t kTilesTogether = 16;

/// The panels of the columns that come next.  Rows that meet those of these columns ask for them, a part with
/// each block of rows: all at once, as they are unpacked, takes a core longer than unpacking does.
template <class Kind>
struct PanelsAhead {
  const Weights<Kind>& w;
  std::uint32_t first;        ///< output of the first one
  int column;                 ///< w.in or more: there are none
  std::uint32_t part, parts;  ///< of each

  TANDEM_INLINE void ask(std::uint32_t tile) const {
    if (w.repacked == nullptr || column >= w.in) return;
    const std::size_t lines = w.repacked->panel_lines;
    w.repacked->ask(w.place(first + tile * kTileOutputs, column), lines * part / parts,
                    lines * (part + 1) / parts);
  }
};

/// What many rows are multiplied in: about 630 KiB, in a core's second-level cache where that is large.
template <class Kind>
struct ManyRows {
  Panel panels[kTilesTogether];
  RowBlocks<Kind> rows;
  alignas(64) float sums[kTilesTogether][kTileRows][kTileOutputs];

  void clear_sums(std::uint32_t tiles, std::uint32_t n) {
    for (std::uint32_t t = 0; t < tiles; ++t) __builtin_memset(sums[t], 0, n * sizeof sums[t][0]);
  }

  /// The panels times a block of rows; meanwhile, the next block is prepared and `next` asked for.
  void multiply_block(std::uint32_t tiles, const PanelsAhead<Kind>& next) {
    const std::uint32_t first = rows.first(), n = rows.count();
    std::uint32_t t = 0;
    if constexpr (kRowsOfTwoPanels > 0) {
      for (; t + 2 <= tiles; t += 2) {
        rows.prepare(kRowsAtATime * (t + 2) / tiles);
        next.ask(t);
        next.ask(t + 1);
        multiply_rows<Kind>(panels + t, rows.columns(), n, rows.rows(), sums[t] + first, sums[t + 1] + first);
      }
    }
    for (; t < tiles; ++t) {
      rows.prepare(kRowsAtATime * (t + 1) / tiles);
      next.ask(t);
      multiply_rows<Kind>(panels[t], rows.columns(), n, rows.rows(), sums[t] + first);
    }
  }

  /// The first `lanes` outputs of every tile to y, one after another.
  void store_sums(std::uint32_t tiles, std::uint32_t lanes, std::uint32_t n, float* y,
                  std::size_t y_stride) const {
    for (std::uint32_t r = 0; r < n; ++r) {
      float* to = y + r * y_stride;
      if (lanes == 1) {
        for (std::uint32_t t = 0; t < tiles; ++t) to[t] = sums[t][r][0];
      } else {
        for (std::uint32_t t = 0; t < tiles; ++t, to += kTileOutputs) store(to, load(sums[t][r]));
      }
    }
  }
};

/// `tiles` <= kTilesTogether times `lanes` outputs from `first` on, kTileOutputs or one, times all rows of
/// `x`.
template <class Kind>
void multiply_tiles(const Weights<Kind>& w, std::uint32_t first, std::uint32_t tiles, std::uint32_t lanes,
                    const Activations& x, ManyRows<Kind>& many) {
  const std::uint32_t blocks = (x.n + kRowsAtATime - 1) / kRowsAtATime;
  many.clear_sums(tiles, x.n);
  many.rows.begin(x, w.in, w.format.offset);
  do {
    if (many.rows.first() == 0) {
      for (std::uint32_t t = 0; t < tiles; ++t) {
        w.fill_asked(first + t * lanes, lanes, many.rows.column(), many.rows.columns(), many.panels[t]);
      }
    }
    many.multiply_block(
        tiles, {w, first, many.rows.column() + kPanelColumns, many.rows.first() / kRowsAtATime, blocks});
  } while (many.rows.next());
}

/// Any number of rows.  Memory has time enough, and results that lie together are stored at once.
template <class Kind>
void multiply_many(const Weights<Kind>& w, const Activations& x, float* y, std::size_t y_stride) {
  ManyRows<Kind> many;
  for (std::uint32_t first = 0; first < w.n_out;) {
    const std::uint32_t left = w.n_out - first;
    const std::uint32_t lanes = left < kTileOutputs ? 1 : kTileOutputs;
    const std::uint32_t tiles = left / lanes < kTilesTogether ? left / lanes : kTilesTogether;
    multiply_tiles(w, first, tiles, lanes, x, many);
    many.store_sums(tiles, lanes, x.n, y + first, y_stride);
    first += tiles * lanes;
  }
}

template <class Format, class Kind>
void multiply_blocks_as(const device::Matrix& matrix, std::uint32_t first_out, std::uint32_t n_out,
                        const Activations& x, float* y, std::size_t y_stride) {
  const Weights<Kind> w(kWeightFormat<Format, Kind>, matrix, first_out, n_out);
  if (x.n <= kFewRows) return multiply_few(w, x, y + first_out, y_stride);
  if (x.n <= kMostRowsInPasses<Kind> && few_rows_repacked(w, kFewRows) != nullptr) {
    return multiply_in_passes(w, x, y + first_out, y_stride);
  }
  multiply_many(w, x, y + first_out, y_stride);
}

/// From so many rows on scaled quants are faster, where there are any.
inline constexpr std::uint32_t kFewestScaledRows = kSumsInRegisters >= 16 ? 5 : 17;

template <class Format>
void multiply_blocks(const device::Matrix& matrix, std::uint32_t first_out, std::uint32_t n_out,
                     const Activations& x, float* y, std::size_t y_stride) noexcept {
  if (x.n < kFewestScaledRows) {
    multiply_blocks_as<Format, KindOf<Format>>(matrix, first_out, n_out, x, y, y_stride);
  } else {
    multiply_blocks_as<Format, ScaledKindOf<Format>>(matrix, first_out, n_out, x, y, y_stride);
  }
}

}  // namespace
}  // namespace tandem::cpu
