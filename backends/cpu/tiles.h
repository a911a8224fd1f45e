#pragma once

// Block types times many activation rows on AMX: a tile of sixteen activation rows times a tile of sixteen
// rows of W gives the integer sums of a group, 256 of them, in one instruction.  The sums are those of
// integer_multiply.h and what happens to them is the same in the same order: so are the results.
//
// Limit: while tiles are in use, a core multiplies, adds and converts vectors at three quarters of its rate
// or less.  32 columns of sixteen rows by sixteen rows of W take four such operations a row (six with mins,
// or with halves that have scales of their own), 48 cycles at best, and about 55 as it is; tile instructions,
// 25 to 33 cycles, go on beside them.  For that, sums are stored two groups before they are scaled.  VPDPBUSD
// would take 64 cycles, at a clock a sixth faster.
//
// Tried and lost: activations copied tile by tile, for 512 rows at once (writing them takes longer than
// reading them where they lie); fused multiply and add; sums that start with a number which makes them floats
// without a conversion, or that run on from group to group and are subtracted.  BF16 tiles give the sums as
// floats, in 37 cycles a group, but turning activations and weights into BF16 costs most of that.

#include "backends/cpu/integer_multiply.h"

namespace tandem::cpu {
namespace {

/// Rows of a tile.
inline constexpr int kTileHeight = 16;

/// The tile registers.
inline constexpr int kSums = 0, kInput = 1, kWeights = 2, kSecondSums = 3;

/// What LDTILECFG reads.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t row_bytes[16] = {};
  std::uint8_t rows[16] = {};

  void set(int tile, int n_rows, int n_bytes) {
    rows[tile] = static_cast<std::uint8_t>(n_rows);
    row_bytes[tile] = static_cast<std::uint16_t>(n_bytes);
  }
};

/// The tile registers of this thread while it multiplies groups of kGroup columns.
template <int kGroup>
class Tiles {
 public:
  Tiles() {
    TileConfig config;
    config.set(kSums, kTileHeight, 64);
    config.set(kSecondSums, kTileHeight, 64);
    config.set(kInput, kTileHeight, kGroup);
    config.set(kWeights, kGroup / 4, 64);
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// Sixteen activation rows at the columns of a panel, and what scaling needs of them, lane by lane of the
/// groups.
template <class Kind>
struct alignas(64) RowTile {
  static constexpr int kGroups = kPanelColumns / Kind::kGroup;

  const std::int8_t* quants = nullptr;  ///< of the first row
  std::size_t stride = 0;               ///< bytes from row to row
  alignas(64) float scales[kPanelGroups][kTileHeight] = {};
  alignas(64) float min_factors[Kind::kHasMin && !Kind::kHalves ? kGroups : 1][kTileHeight] = {};
  alignas(64) std::int32_t sums[Kind::kHasMin && Kind::kHalves ? kPanelGroups : 1][kTileHeight] = {};
  alignas(64) std::int8_t padded[kTileHeight][kPanelColumns] = {};  ///< where there are fewer rows

  /// Columns [column, column + columns) of `rows` <= kTileHeight rows from `first` on.  Of other rows, what
  /// was there before is multiplied in vain.
  void fill(const Activations& x, std::uint32_t in, std::uint32_t first, int rows, int column, int columns) {
    quants = RowSlice(x, first, in).quants + column;
    stride = x.row_bytes;
    if (columns == kPanelColumns) {
      for (int r = 0; r < rows; ++r) fill_row(RowSlice(x, first + r, in), r, column, kPanelColumns);
    } else {
      for (int r = 0; r < rows; ++r) fill_row(RowSlice(x, first + r, in), r, column, columns);
    }
    if (rows == kTileHeight) return;
    for (int r = 0; r < rows; ++r) {
      __builtin_memcpy(padded[r], quants + r * stride, static_cast<std::size_t>(columns));
    }
    quants = padded[0];
    stride = sizeof padded[0];
  }

 private:
  TANDEM_INLINE void fill_row(const RowSlice& row, int r, int column, int columns) {
    const float* row_scales = row.scales + column / int{kActivationGroup};
    for (int i = 0; i < columns / int{kActivationGroup}; ++i) scales[i][r] = row_scales[i];
    if constexpr (Kind::kHasMin) {
      const std::int16_t* halves = row.sums + column / 16;
      for (int g = 0; g < columns / int{kActivationGroup}; ++g) {
        if constexpr (Kind::kHalves) {
          __builtin_memcpy(&sums[g][r], halves + 2 * g, sizeof sums[g][r]);
        } else {
          min_factors[g][r] = scales[g][r] * static_cast<float>(halves[2 * g] + halves[2 * g + 1]);
        }
      }
    }
  }
};

/// Asks for the sixteen rows that follow, a row at a time.
struct RowsAhead {
  const Activations& x;
  std::uint32_t in, first;
  int column;

  TANDEM_INLINE void ask(int r) const {
    const RowSlice row(x, first + static_cast<std::uint32_t>(r), in);
    constexpr int kLine = 64, kSecondLevel = 2;
    for (int i = 0; i < kPanelColumns; i += kLine)
      __builtin_prefetch(row.quants + column + i, 0, kSecondLevel);
    __builtin_prefetch(row.scales + column / int{kActivationGroup}, 0, kSecondLevel);
    __builtin_prefetch(row.sums + column / 16, 0, kSecondLevel);
  }
};

/// Integer sums of sixteen activation rows for sixteen rows of W.
struct alignas(64) TileSums {
  std::int32_t of_row[kTileHeight][kTileOutputs];
};

template <int kTile>
TANDEM_INLINE void load_tile(const void* from, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile));
}

/// Begins the sums of group `g`.
template <int kTile, class Kind>
TANDEM_INLINE void multiply_tile(const RowTile<Kind>& x, const Panel& panel, int g) {
  load_tile<kInput>(x.quants + g * Kind::kGroup, x.stride);
  load_tile<kWeights>(panel.quants[g * Kind::kGroup / 4], 64);
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
  asm volatile("tdpbssd %%tmm%c0, %%tmm%c1, %%tmm%c2" ::"i"(kWeights), "i"(kInput), "i"(kTile));
}

template <int kTile>
TANDEM_INLINE void store_tile(TileSums& sums) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(sums.of_row), "r"(std::size_t{64}), "i"(kTile)
               : "memory");
}

/// Integer sums of 32 columns: of each half where they have scales of their own.
template <class Kind>
struct GroupSums {
  TileSums halves[Kind::kHalves ? 2 : 1];

  /// Stores what multiply_tiles has begun.
  TANDEM_INLINE void store() {
    store_tile<kSums>(halves[0]);
    if constexpr (Kind::kHalves) store_tile<kSecondSums>(halves[1]);
  }
};

/// Begins the sums of the 32 columns `g`.
template <class Kind>
TANDEM_INLINE void multiply_tiles_of_group(const RowTile<Kind>& x, const Panel& panel, int g) {
  if constexpr (Kind::kHalves) {
    multiply_tile<kSums>(x, panel, 2 * g);
    multiply_tile<kSecondSums>(x, panel, 2 * g + 1);
  } else {
    multiply_tile<kSums>(x, panel, g);
  }
}

/// Scales the sums of group `g` and adds them to y.
template <class Kind>
TANDEM_INLINE void add_group(const RowTile<Kind>& x, const Panel& panel, int g, const GroupSums<Kind>& sums,
                             F32x16 (&y)[kTileHeight]) {
#pragma GCC unroll 16
  for (int r = 0; r < kTileHeight; ++r) {
    const F32x16 x_scale = broadcast(x.scales[g][r]);
    const __m512i first = _mm512_load_si512(sums.halves[0].of_row[r]);
    if constexpr (Kind::kHalves) {
      const F32x16 sum = sum_of_halves(load(panel.scales[2 * g]), first, load(panel.scales[2 * g + 1]),
                                       _mm512_load_si512(sums.halves[1].of_row[r]));
      y[r] = add(y[r], mul(sum, x_scale));
    } else {
      F32x16 term = mul(mul(load(panel.scales[g]), x_scale), to_float(first));
      if constexpr (Kind::kHasMin) {
        term = add(term, mul(load(panel.mins[g]), broadcast(x.min_factors[g][r])));
      }
      y[r] = add(y[r], term);
    }
  }
}

/// Sums to which the groups of a panel are added, and, after them, what they are for y.
template <class Kind>
TANDEM_INLINE void begin_panel(const float (&y_sums)[kTileHeight][kTileOutputs], F32x16 (&y)[kTileHeight]) {
#pragma GCC unroll 16
  for (int r = 0; r < kTileHeight; ++r) y[r] = Kind::kHalves ? broadcast(0.0f) : load(y_sums[r]);
}
template <class Kind>
TANDEM_INLINE void end_panel(const RowTile<Kind>& x, const Panel& panel, const F32x16 (&y)[kTileHeight],
                             float (&y_sums)[kTileHeight][kTileOutputs]) {
#pragma GCC unroll 16
  for (int r = 0; r < kTileHeight; ++r) {
    if constexpr (Kind::kHalves) {
      store(y_sums[r], add(load(y_sums[r]), mul(load(panel.factor), y[r])));
    } else {
      store(y_sums[r], y[r]);
    }
  }
  if constexpr (Kind::kHalves && Kind::kHasMin) {
    const auto mins_of = [&panel](std::size_t g) { return _mm512_load_si512(panel.whole_mins[g]); };
    for (int r = 0; r < kTileHeight; ++r) {
      const F32x16 mins = sum_of_mins<F32x16>(mins_of, &x.sums[0][r], &x.scales[0][r], kTileHeight);
      store(y_sums[r], add(load(y_sums[r]), mul(load(panel.min_factor), mins)));
    }
  }
}

/// Adds sixteen activation rows times panels, `groups` groups of 32 columns each, to their sums, and asks for
/// the rows that come next meanwhile.
template <class Kind>
void multiply_row_tile(const RowTile<Kind>& x, const Panel* panels, std::uint32_t n_panels, int groups,
                       float (*y_sums)[kTileHeight][kTileOutputs], const RowsAhead& next) {
  GroupSums<Kind> sums[2];
  std::uint32_t ahead = 0;
  int ahead_group = 0;
  const auto multiply_next = [&] {
    multiply_tiles_of_group<Kind>(x, panels[ahead], ahead_group);
    if (++ahead_group < groups) return;
    ahead_group = 0;
    if (++ahead == n_panels) ahead = 0;  // in vain, twice
  };
  for (GroupSums<Kind>& first : sums) {
    multiply_next();
    first.store();
  }
  unsigned turn = 0;
  for (std::uint32_t p = 0; p < n_panels; ++p) {
    F32x16 y[kTileHeight];
    begin_panel<Kind>(y_sums[p], y);
    for (int g = 0; g < groups; ++g, ++turn) {
      multiply_next();
      if (turn % 4 == 0 && turn / 4 < kTileHeight) next.ask(static_cast<int>(turn / 4));
      add_group<Kind>(x, panels[p], g, sums[turn % 2], y);
      sums[turn % 2].store();
    }
    end_panel<Kind>(x, panels[p], y, y_sums[p]);
  }
}

/// Takes the block type's offset off the quants, which become signed bytes.
inline void make_signed(Panel& panel, int columns, int offset) {
  if (offset == 0) return;
  const __m512i offsets = _mm512_set1_epi8(static_cast<char>(offset));
  for (int four = 0; four < columns / 4; ++four) {
    std::uint8_t* quants = panel.quants[four][0];
    store(quants, _mm512_sub_epi8(load(quants), offsets));
  }
}

/// Panels that share what is read of many activation rows.
inline constexpr std::uint32_t kPanelsOnTiles = 8;

/// What many rows are multiplied in: about 300 KiB, which a core's second-level cache holds.
template <class Kind>
struct ManyTiles {
  Panel panels[kPanelsOnTiles];
  RowTile<Kind> x;
  alignas(64) float sums[kTileRows / kTileHeight][kPanelsOnTiles][kTileHeight][kTileOutputs];

  void fill_panels(const Weights<Kind>& w, std::uint32_t first, std::uint32_t n_panels, int column,
                   int columns) {
    for (std::uint32_t p = 0; p < n_panels; ++p) {
      w.fill(first + p * kTileOutputs, kTileOutputs, column, columns, panels[p]);
      make_signed(panels[p], columns, w.format.offset);
    }
  }
};

/// `n_panels` <= kPanelsOnTiles times sixteen outputs from `first` on, times all rows of `x`.
template <class Kind>
void multiply_panels_on_tiles(const Weights<Kind>& w, std::uint32_t first, std::uint32_t n_panels,
                              const Activations& x, ManyTiles<Kind>& many) {
  const auto in = static_cast<std::uint32_t>(w.in);
  const std::uint32_t tiles = (x.n + kTileHeight - 1) / kTileHeight;
  __builtin_memset(many.sums, 0, tiles * sizeof many.sums[0]);
  for (int column = 0; column < w.in; column += kPanelColumns) {
    const int columns = w.in - column < kPanelColumns ? w.in - column : kPanelColumns;
    many.fill_panels(w, first, n_panels, column, columns);
    for (std::uint32_t tile = 0; tile < tiles; ++tile) {
      const std::uint32_t row = tile * kTileHeight;
      const std::uint32_t rows = x.n - row < kTileHeight ? x.n - row : kTileHeight;
      many.x.fill(x, in, row, static_cast<int>(rows), column, columns);
      asm volatile("" ::: "memory");  // the compiler does not know what tile instructions read
      const bool last = tile + 1 == tiles;
      const RowsAhead next{x, in, last ? 0 : row + kTileHeight, last ? column + kPanelColumns : column};
      multiply_row_tile<Kind>(many.x, many.panels, n_panels, columns / int{kActivationGroup}, many.sums[tile],
                              next);
    }
  }
}

/// All outputs of `w`, a multiple of kTileOutputs.
template <class Kind>
void multiply_many_on_tiles(const Weights<Kind>& w, const Activations& x, float* y, std::size_t y_stride) {
  ManyTiles<Kind> many;
  const Tiles<Kind::kGroup> registers;
  const std::uint32_t panels = w.n_out / kTileOutputs;
  for (std::uint32_t done = 0; done < panels; done += kPanelsOnTiles) {
    const std::uint32_t n_panels = panels - done < kPanelsOnTiles ? panels - done : kPanelsOnTiles;
    multiply_panels_on_tiles(w, done * kTileOutputs, n_panels, x, many);
    for (std::uint32_t r = 0; r < x.n; ++r) {
      float* to = y + r * y_stride + std::size_t{done} * kTileOutputs;
      for (std::uint32_t p = 0; p < n_panels; ++p, to += kTileOutputs) {
        store(to, load(many.sums[r / kTileHeight][p][r % kTileHeight]));
      }
    }
  }
}

/// Fewer rows are multiplied sooner without tiles.
inline constexpr std::uint32_t kFewestTileRows = 32;

template <class Format>
void multiply_blocks_with_tiles(const device::Matrix& matrix, std::uint32_t first_out, std::uint32_t n_out,
                                const Activations& x, float* y, std::size_t y_stride) noexcept {
  const std::uint32_t on_tiles = x.n < kFewestTileRows ? 0 : n_out / kTileOutputs * kTileOutputs;
  if (on_tiles > 0) {
    const Weights<KindOf<Format>> w(kWeightFormat<Format>, matrix, first_out, on_tiles);
    multiply_many_on_tiles(w, x, y + first_out, y_stride);
  }
  if (on_tiles == n_out) return;
  multiply_blocks<Format>(matrix, first_out + on_tiles, n_out - on_tiles, x, y, y_stride);
}

}  // namespace
}  // namespace tandem::cpu
