#pragma once

// Block types times many activation rows on AMX: a tile of sixteen activation rows times a tile of sixteen
// rows of W gives the integer sums of a group, 256 of them, in one instruction.  The sums are those of
// integer_multiply.h and what happens to them is the same in the same order: so are the results.
//
// Tried and lost: tiles for groups of sixteen (Q6_K, Q2_K, Q3_K), which use half of a tile instruction, for
// fewer than 32 rows, and for few rows, where loading, multiplying and storing a tile take longer than the
// dot products they save.  Scaling the sums of one tile while the next one is multiplied, a whole panel
// apart, was no faster either.
//
// Limit: converting, scaling and adding the sums, four vector operations for each sixteen of them, takes
// twice as long as the tiles do.

#include <type_traits>

#include "backends/cpu/integer_multiply.h"

namespace tandem::cpu {
namespace {

/// Rows of a tile.
inline constexpr int kTileHeight = 16;

/// The first of two tile registers each: a group can begin before the last one is done.
inline constexpr int kSums = 0, kInput = 2, kWeights = 4;

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

/// The tile registers of this thread while it multiplies groups of kGroup columns of `rows` activation rows.
template <int kGroup>
class Tiles {
 public:
  explicit Tiles(int rows) {
    TileConfig config;
    for (int set = 0; set < 2; ++set) {
      config.set(kSums + set, rows, 64);
      config.set(kInput + set, rows, kGroup);
      config.set(kWeights + set, kGroup / 4, 64);
    }
    asm volatile("ldtilecfg %0" ::"m"(config));
  }
  ~Tiles() { asm volatile("tilerelease"); }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
};

/// Integer sums of sixteen activation rows for sixteen rows of W.
struct alignas(64) TileSums {
  std::int32_t of_row[kTileHeight][kTileOutputs];
};

template <int kTile>
TANDEM_INLINE void load_tile(const void* from, std::size_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile));
}

/// Integer sums of one group, in one of two sets of registers.
template <int kSet>
TANDEM_INLINE void multiply_group(const std::int8_t* x, std::size_t x_stride, const void* quants,
                                  TileSums& sums) {
  load_tile<kWeights + kSet>(quants, 64);
  load_tile<kInput + kSet>(x, x_stride);
  asm volatile("tilezero %%tmm%c0" ::"i"(kSums + kSet));
  asm volatile("tdpbssd %%tmm%c0, %%tmm%c1, %%tmm%c2" ::"i"(kWeights + kSet), "i"(kInput + kSet),
               "i"(kSums + kSet));
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(sums.of_row), "r"(std::size_t{64}), "i"(kSums + kSet)
               : "memory");
}

/// Scales the sums of group `g` and adds them to y; kRows or, if fewer, `rows` of them.
template <class Kind, int kRows>
TANDEM_INLINE void add_group(const Panel& panel, int g, const TileSums& sums, const PanelRow<Kind>* x,
                             int rows, __m512 (&y)[kRows]) {
  const __m512 scale = _mm512_load_ps(panel.scales[g]);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    if (kRows < kTileHeight && r >= rows) break;
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums.of_row[r]));
    __m512 term = _mm512_mul_ps(_mm512_mul_ps(scale, _mm512_set1_ps(x[r].scale(g))), sum);
    if constexpr (Kind::kHasMin) {
      const __m512 factor = _mm512_set1_ps(x[r].min_factors[g]);
      term = _mm512_add_ps(term, _mm512_mul_ps(_mm512_load_ps(panel.mins[g]), factor));
    }
    y[r] = _mm512_add_ps(y[r], term);
  }
}

/// Adds a panel times kRows activation rows or, if fewer, `rows` of them to their sums.
template <class Kind, int kRows>
void multiply_tile(const Panel& panel, int groups, const PanelRow<Kind>* x, int rows,
                   float (*y_sums)[kTileOutputs]) {
  TileSums sums[2];
  __m512 y[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    y[r] = kRows == kTileHeight || r < rows ? _mm512_load_ps(y_sums[r]) : _mm512_setzero_ps();
  }
  const auto multiply = [&](int g, auto set) {
    multiply_group<set>(x[0].quants + g * Kind::kGroup, sizeof x[0], panel.quants[g * Kind::kGroup / 4],
                        sums[set]);
  };
  const auto add = [&](int g, int set) { add_group<Kind, kRows>(panel, g, sums[set], x, rows, y); };
  constexpr std::integral_constant<int, 0> kEven;
  constexpr std::integral_constant<int, 1> kOdd;
  multiply(0, kEven);
  int g = 0;
  for (; g + 2 <= groups; g += 2) {
    multiply(g + 1, kOdd);
    add(g, 0);
    if (g + 2 < groups) multiply(g + 2, kEven);
    add(g + 1, 1);
  }
  if (g < groups) add(g, 0);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    if (kRows == kTileHeight || r < rows) _mm512_store_ps(y_sums[r], y[r]);
  }
}

/// The panels times `n` rows, all at the same columns.
template <class Kind>
void multiply_panels_on_tiles(const Panel* panels, std::uint32_t tiles, int groups, std::uint32_t n,
                              ManyRows<Kind>& many) {
  const std::uint32_t rest = n % kTileHeight;
  if (n > rest) {
    const Tiles<Kind::kGroup> registers(kTileHeight);
    for (std::uint32_t row = 0; row + kTileHeight <= n; row += kTileHeight) {
      for (std::uint32_t t = 0; t < tiles; ++t) {
        multiply_tile<Kind, kTileHeight>(panels[t], groups, many.rows + row, kTileHeight, many.sums[t] + row);
      }
    }
  }
  if (rest > 0) {
    const Tiles<Kind::kGroup> registers(static_cast<int>(rest));
    for (std::uint32_t t = 0; t < tiles; ++t) {
      multiply_tile<Kind, kTileHeight - 1>(panels[t], groups, many.rows + n - rest, static_cast<int>(rest),
                                           many.sums[t] + n - rest);
    }
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

/// `tiles` <= kTilesTogether times sixteen outputs from `first` on, times all rows of `x`.
template <class Kind>
void multiply_on_tiles(const Weights<Kind>& w, std::uint32_t first, std::uint32_t tiles, const Activations& x,
                       ManyRows<Kind>& many) {
  Panel panels[kTilesTogether];
  many.clear_sums(tiles, x.n);
  for (int column = 0; column < w.in; column += kPanelColumns) {
    const int columns = w.in - column < kPanelColumns ? w.in - column : kPanelColumns;
    many.fill_rows(w, x, column, columns);
    for (std::uint32_t t = 0; t < tiles; ++t) {
      w.fill(first + t * kTileOutputs, kTileOutputs, column, columns, panels[t]);
      make_signed(panels[t], columns, w.format.offset);
    }
    // The compiler does not know what tile instructions read.
    asm volatile("" ::: "memory");
    multiply_panels_on_tiles(panels, tiles, columns / Kind::kGroup, x.n, many);
  }
}

/// All outputs of `w`, a multiple of kTileOutputs.
template <class Kind>
void multiply_many_on_tiles(const Weights<Kind>& w, const Activations& x, float* y, std::size_t y_stride) {
  ManyRows<Kind> many;
  const std::uint32_t all = w.n_out / kTileOutputs;
  for (std::uint32_t done = 0; done < all; done += kTilesTogether) {
    const std::uint32_t tiles = all - done < kTilesTogether ? all - done : kTilesTogether;
    multiply_on_tiles(w, done * kTileOutputs, tiles, x, many);
    many.store_sums(tiles, kTileOutputs, x.n, y + std::size_t{done} * kTileOutputs, y_stride);
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
