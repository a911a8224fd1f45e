#pragma once

// Block types times many activation rows on AMX: a tile of sixteen activation rows times a tile of sixteen
// rows of W gives the integer sums of a group, 256 of them, in one instruction.  The sums are those of
// integer_multiply.h and what happens to them is the same in the same order: so are the results.
//
// Limit: converting, scaling and adding the sums, four vector operations for each sixteen of them, takes
// twice as long as the tiles do.

#include "backends/cpu/few_rows.h"
#include "backends/cpu/panel.h"

namespace tandem::cpu {
namespace {

/// Rows of a tile, and tiles of outputs that share what is read of the activations.
inline constexpr int kTileHeight = 16;
inline constexpr std::uint32_t kTilesTogether = 4;

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

/// Up to sixteen activation rows from `first` on, at one panel's columns.
struct TileInput {
  const std::int8_t* quants;
  const std::uint8_t* scales;
  const float (*min_factors)[kPanelColumns / 16];  ///< of each row
  std::size_t stride;
};

/// Scales the sums of group `g` and adds them to y; kRows or, if fewer, `rows` of them.
template <class Format, int kRows>
TANDEM_INLINE void add_group(const Panel& panel, int g, const TileSums& sums, const LaneRows& x_scales,
                             const TileInput& x, int rows, __m512 (&y)[kRows]) {
  const __m512 scale = _mm512_load_ps(panel.scales[g]);
  const std::size_t scale_at = static_cast<std::size_t>(g * Format::kGroup / 32) * sizeof(float);
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    if (kRows < kTileHeight && r >= rows) break;
    float x_scale;
    __builtin_memcpy(&x_scale, x_scales.row(r) + scale_at, sizeof x_scale);
    const __m512 sum = _mm512_cvtepi32_ps(_mm512_load_si512(sums.of_row[r]));
    __m512 term = _mm512_mul_ps(_mm512_mul_ps(scale, _mm512_set1_ps(x_scale)), sum);
    if constexpr (Format::kHasMin) {
      const __m512 factor = _mm512_set1_ps(x.min_factors[r][g]);
      term = _mm512_add_ps(term, _mm512_mul_ps(_mm512_load_ps(panel.mins[g]), factor));
    }
    y[r] = _mm512_add_ps(y[r], term);
  }
}

/// Adds a panel times kRows activation rows or, if fewer, `rows` of them to their sums.
template <class Format, int kRows>
void multiply_tile(const Panel& panel, int groups, const TileInput& x, int rows,
                   float (*y_sums)[kTileOutputs]) {
  TileSums sums[2];
  __m512 y[kRows];
#pragma GCC unroll 16
  for (int r = 0; r < kRows; ++r) {
    y[r] = kRows == kTileHeight || r < rows ? _mm512_load_ps(y_sums[r]) : _mm512_setzero_ps();
  }
  const LaneRows x_scales(x.scales, x.stride);
  const auto multiply = [&](int g, auto set) {
    multiply_group<set>(x.quants + g * Format::kGroup, x.stride, panel.quants[g * Format::kGroup / 4],
                        sums[set]);
  };
  const auto add = [&](int g, int set) {
    add_group<Format, kRows>(panel, g, sums[set], x_scales, x, rows, y);
  };
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

/// scale * sum of every row's groups at a panel's columns.
template <class Format>
void fill_min_factors(const Activations& x, std::uint32_t in, int column, int groups,
                      float (*factors)[kPanelColumns / 16]) {
  for (std::uint32_t r = 0; r < x.n; ++r) {
    const RowSlice slice(x, r, in);
    const int first = column / Format::kGroup;
    for (int g = 0; g < groups; ++g) {
      factors[r][g] = slice.scales[(first + g) * Format::kGroup / 32] *
                      static_cast<float>(slice.template sum<Format::kGroup>(first + g));
    }
  }
}

/// What multiply_on_tiles works in: about 200 KiB, which a core's second-level cache holds.
struct TileBuffers {
  Panel panels[kTilesTogether];
  alignas(64) float sums[kTilesTogether][kTileRows][kTileOutputs];
  float min_factors[kTileRows][kPanelColumns / 16];
};

/// The panels times all rows of `x`, at the columns from `column` on.
template <class Format>
void multiply_panels(std::uint32_t in, int column, int groups, std::uint32_t tiles, const Activations& x,
                     TileBuffers& buffers) {
  const std::size_t scales_at = QuantisedLayout{in}.scales_at() + static_cast<std::size_t>(column) / 8;
  const auto input = [&](std::uint32_t row) {
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(x.row(row));
    return TileInput{reinterpret_cast<const std::int8_t*>(bytes) + column, bytes + scales_at,
                     &buffers.min_factors[row], x.row_bytes};
  };
  const std::uint32_t rest = x.n % kTileHeight;
  if (x.n > rest) {
    const Tiles<Format::kGroup> registers(kTileHeight);
    for (std::uint32_t row = 0; row + kTileHeight <= x.n; row += kTileHeight) {
      const TileInput rows = input(row);
      for (std::uint32_t t = 0; t < tiles; ++t) {
        multiply_tile<Format, kTileHeight>(buffers.panels[t], groups, rows, kTileHeight,
                                           &buffers.sums[t][row]);
      }
    }
  }
  if (rest > 0) {
    const Tiles<Format::kGroup> registers(static_cast<int>(rest));
    const TileInput rows = input(x.n - rest);
    for (std::uint32_t t = 0; t < tiles; ++t) {
      multiply_tile<Format, kTileHeight - 1>(buffers.panels[t], groups, rows, static_cast<int>(rest),
                                             &buffers.sums[t][x.n - rest]);
    }
  }
}

/// `tiles` <= kTilesTogether times sixteen rows of W, one after another from `w` on, times all rows of `x`.
template <class Format>
void multiply_on_tiles(const std::uint8_t* w, std::size_t row_bytes, std::uint32_t in, std::uint32_t tiles,
                       const Activations& x, TileBuffers& buffers) {
  for (std::uint32_t t = 0; t < tiles; ++t) {
    __builtin_memset(buffers.sums[t], 0, x.n * sizeof buffers.sums[t][0]);
  }
  for (int column = 0; column < static_cast<int>(in); column += kPanelColumns) {
    const int left = static_cast<int>(in) - column;
    const int columns = left < kPanelColumns ? left : kPanelColumns;
    const int groups = columns / Format::kGroup;
    const auto* first = w + static_cast<std::size_t>(column / Format::kElems) * Format::kBytes;
    for (std::uint32_t t = 0; t < tiles; ++t) {
      fill_signed_panel<Format>(LaneRows(first + t * kTileOutputs * row_bytes, row_bytes), columns,
                                buffers.panels[t]);
    }
    if constexpr (Format::kHasMin) fill_min_factors<Format>(x, in, column, groups, buffers.min_factors);
    // The compiler does not know what tile instructions read.
    asm volatile("" ::: "memory");
    multiply_panels<Format>(in, column, groups, tiles, x, buffers);
  }
}

template <class Format>
void multiply_blocks_on_tiles(const std::uint8_t* w, std::size_t row_bytes, std::uint32_t in,
                              std::uint32_t tiles, const Activations& x, float* y, std::size_t y_stride) {
  TileBuffers buffers;
  for (std::uint32_t first = 0; first < tiles; first += kTilesTogether) {
    const std::uint32_t n = tiles - first < kTilesTogether ? tiles - first : kTilesTogether;
    multiply_on_tiles<Format>(w + first * kTileOutputs * row_bytes, row_bytes, in, n, x, buffers);
    for (std::uint32_t r = 0; r < x.n; ++r) {
      for (std::uint32_t t = 0; t < n; ++t) {
        __builtin_memcpy(y + r * y_stride + (first + t) * kTileOutputs, buffers.sums[t][r],
                         sizeof buffers.sums[t][r]);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::cpu
