// Projections of many rows through the tensor cores, on packed weights: integer products of 32 columns, each
// scaled and added in fp32.  A block of eight warps computes 32 outputs for 32 rows.  The 32 partial sums
// that the lanes of a decode kernel have for each of them (multiply.cu) are four of every warp here, added up
// as the same tree, so that a row gets the same bits either way.
//
// A lane unpacks one output's columns into shared memory, four groups of 32 at a time, from where they are
// read as tiles; activations are read as they lie.
//
// What limits it: the fp32 work on integer products (a conversion, a product and a fused addition for each 32
// of them, twice with 16-column scales), then the unpacking, which 32 rows share, and the latency of both:
// one block of eight warps fits an SM, with 128 sums a thread.

#include "backends/cuda/block_terms.cuh"
#include "backends/cuda/for_block_type.cuh"
#include "backends/cuda/launch.cuh"
#include "backends/cuda/multiply_many.h"

namespace tandem::cuda {
namespace {

constexpr unsigned kWarps = 8;
constexpr unsigned kSlots = kWarp / kWarps;  ///< consecutive groups, and partial sums, of a warp
constexpr unsigned kOuts = 32;               ///< of a block: a lane unpacks one
constexpr unsigned kRows = 32;               ///< of a block
constexpr unsigned kOutTiles = kOuts / 16;
constexpr unsigned kRowTiles = kRows / 8;
constexpr unsigned kStride = 12;  ///< words from output to output: no bank conflicts

/// Unpacked columns of one group, of a block's outputs.
struct Staged {
  alignas(16) std::uint32_t quants[kOuts][kStride];  ///< eight words of four
  GroupScales scales[kOuts];
};

/// Sums of a block, of every warp: the second use of shared memory.
using WarpSums = float[kWarps][kRows][kOuts + 1];

constexpr std::size_t kStagedBytes = sizeof(Staged) * kWarps * kSlots;
constexpr std::size_t kSharedBytes = kStagedBytes > sizeof(WarpSums) ? kStagedBytes : sizeof(WarpSums);

/// A thread's part of the tiles: element i of (out tile m, row tile n) is output 16 m + g + 8 (i / 2) and row
/// 8 n + 2 t + i % 2, where lane = 4 g + t (intrinsics.cuh).
struct Sums {
  float of[kOutTiles][kRowTiles][4] = {};
};

/// Four unsigned quants less kOffset, as signed bytes.
template <class Format>
__device__ __forceinline__ std::uint32_t signed_quants(std::uint32_t four) {
  if (Format::kOffset == 0) return four;
  return ((four | 0x80808080u) - Format::kOffset * 0x01010101u) ^ 0x80808080u;
}

template <class Format>
__device__ __forceinline__ void stage(const Weights& w, std::uint32_t out, std::uint32_t group, Staged& to) {
  Columns32 columns;
  const std::uint64_t row = out < w.out ? out : w.out - 1;
  unpack_group<Format>(planes_of<Format>(w), row * (w.in / 32) + group, columns);
  for (std::uint32_t& four : columns.quants) four = signed_quants<Format>(four);
  auto* quants = reinterpret_cast<Bits128*>(to.quants[lane_id()]);
  quants[0] = {columns.quants[0], columns.quants[1], columns.quants[2], columns.quants[3]};
  quants[1] = {columns.quants[4], columns.quants[5], columns.quants[6], columns.quants[7]};
  to.scales[lane_id()] = columns;
}

/// A tile's integer products, of each half of the columns; of all of them in the first where they share a
/// scale.
template <class Format>
__device__ __forceinline__ void multiply_tile(const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                              std::int32_t (&products)[2][4]) {
  if (Format::kGroup == 32) return multiply_tiles_s8(products[0], a, b);
  multiply_half_tiles_s8(products[0], {a[0], a[1]}, b[0]);
  multiply_half_tiles_s8(products[1], {a[2], a[3]}, b[1]);
}

template <class Format>
__device__ __forceinline__ InputScales input_scales(const QuantisedRows& x, std::uint64_t group) {
  InputScales scales{x.scales[group], {0, 0}};
  for (int half = 0; half < 2 && Format::kHasMin; ++half) scales.sums[half] = x.sums[2 * group + half];
  return scales;
}

/// Adds the terms of one group to a block's sums.
template <class Format>
__device__ __forceinline__ void add_group(const Staged& staged, const QuantisedRows& x, std::uint32_t groups,
                                          std::uint32_t group, std::uint32_t first_row, std::uint32_t rows,
                                          Sums& sums) {
  const unsigned g = lane_id() / 4, t = lane_id() % 4;
  std::uint32_t a[kOutTiles][4];
  for (unsigned m = 0; m < kOutTiles; ++m) {
    for (unsigned i = 0; i < 4; ++i) a[m][i] = staged.quants[16 * m + g + 8 * (i % 2)][t + 4 * (i / 2)];
  }
  const auto at = [&](unsigned row) {  // rows beyond the last one are not stored
    return std::uint64_t{first_row + row < rows ? first_row + row : rows - 1} * groups + group;
  };
#pragma unroll
  for (unsigned n = 0; n < kRowTiles; ++n) {
    if (first_row + 8 * n >= rows) continue;
    const auto* quants = reinterpret_cast<const std::uint32_t*>(x.quants) + 8 * at(8 * n + g);
    const std::uint32_t b[2] = {quants[t], quants[t + 4]};
    const InputScales inputs[2] = {input_scales<Format>(x, at(8 * n + 2 * t)),
                                   input_scales<Format>(x, at(8 * n + 2 * t + 1))};
#pragma unroll
    for (unsigned m = 0; m < kOutTiles; ++m) {
      std::int32_t products[2][4] = {};
      multiply_tile<Format>(a[m], b, products);
      for (unsigned i = 0; i < 4; ++i) {
        sums.of[m][n][i] = add_term<Format>(sums.of[m][n][i], staged.scales[16 * m + g + 8 * (i / 2)],
                                            inputs[i % 2], {products[0][i], products[1][i]});
      }
    }
  }
}

/// Neighbours first, as warp_sum adds the lanes of a decode kernel.
__device__ __forceinline__ float sum_of_slots(const Sums (&sums)[kSlots], unsigned m, unsigned n,
                                              unsigned i) {
  return (sums[0].of[m][n][i] + sums[1].of[m][n][i]) + (sums[2].of[m][n][i] + sums[3].of[m][n][i]);
}
__device__ __forceinline__ float sum_of_warps(const WarpSums& sums, unsigned row, unsigned out) {
  float sum[kWarps];
  for (unsigned warp = 0; warp < kWarps; ++warp) sum[warp] = sums[warp][row][out];
  return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

/// Adds up the warps' sums and stores them.
__device__ __forceinline__ void store_sums(const Sums (&sums)[kSlots], const Weights& w,
                                           std::uint32_t first_row, std::uint32_t rows, float* y) {
  auto& shared = *shared_memory<WarpSums>();
  const unsigned g = lane_id() / 4, t = lane_id() % 4;
  sync_threads();  // nobody reads unpacked columns any more
#pragma unroll
  for (unsigned m = 0; m < kOutTiles; ++m) {
#pragma unroll
    for (unsigned n = 0; n < kRowTiles; ++n) {
#pragma unroll
      for (unsigned i = 0; i < 4; ++i) {
        shared[threadIdx.x / kWarp][8 * n + 2 * t + i % 2][16 * m + g + 8 * (i / 2)] =
            sum_of_slots(sums, m, n, i);
      }
    }
  }
  sync_threads();
  const std::uint32_t out = blockIdx.x * kOuts + lane_id();
  for (unsigned row = threadIdx.x / kWarp; row < kRows; row += kWarps) {
    if (first_row + row >= rows || out >= w.out) continue;
    y[std::uint64_t{first_row + row} * w.out + out] = sum_of_warps(shared, row, lane_id());
  }
}

template <class Format>
__global__ void __launch_bounds__(kWarps* kWarp)
    multiply_rows(Weights w, QuantisedRows x, std::uint32_t rows, float* y) {
  const unsigned warp = threadIdx.x / kWarp;
  const std::uint32_t groups = w.in / 32;
  const std::uint32_t first_row = blockIdx.y * kRows;
  Staged* staged = shared_memory<Staged>() + warp * kSlots;
  Sums sums[kSlots];
#pragma unroll 1
  for (std::uint32_t first = warp * kSlots; first < groups; first += kWarp) {
#pragma unroll
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      if (first + slot >= groups) continue;
      stage<Format>(w, blockIdx.x * kOuts + lane_id(), first + slot, staged[slot]);
    }
    sync_warp();
#pragma unroll  // sums stay in registers
    for (unsigned slot = 0; slot < kSlots; ++slot) {
      if (first + slot >= groups) continue;
      add_group<Format>(staged[slot], x, groups, first + slot, first_row, rows, sums[slot]);
    }
    sync_warp();
  }
  store_sums(sums, w, first_row, rows, y);
}

}  // namespace

void multiply_many(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y) {
  const Weights weights{static_cast<const std::uint8_t*>(w.data), w.in, w.out};
  const Launch shape{"multiply_rows", dim3(divide_up(w.out, kOuts), divide_up(input.rows, kRows)),
                     dim3(kWarps * kWarp), kSharedBytes};
  for_block_type(w.type, [&](auto format) {
    launch(stream, shape, multiply_rows<decltype(format)>, weights, input.quantised, input.rows, y);
  });
}

}  // namespace tandem::cuda
