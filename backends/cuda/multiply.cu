// Projections: a warp computes two outputs for up to eight rows of activations, so that weights are read once
// for all of them, and activations once for both.  Lanes take 32 columns in turns (8 or 4 of float types);
// every row adds its terms in the same order whatever the other rows are, and the warp adds its lanes as a
// tree.
//
// What limits it: at one row the bytes of the weights, if enough loads are in flight: a lane loads its next
// columns before it computes with these, so an SM has those of 20 to 48 warps, twice 32 lanes' columns each,
// on their way.  Activations, often more bytes than the weights of a row, have to come from L1: L2 would not
// be fast enough.  From four rows on the instructions: for 32 columns of a row and an output eight dp4a and
// three to join them to the sum, more with mins and 16-column scales, and a dozen a row for both outputs.
// More rows of block types are multiply_many.cu's; of float types they read the weights again for every
// eight, in fp32.

#include "backends/cuda/block_terms.cuh"
#include "backends/cuda/for_block_type.cuh"
#include "backends/cuda/launch.cuh"
#include "backends/cuda/multiply.h"
#include "backends/cuda/multiply_many.h"

namespace tandem::cuda {
namespace {

constexpr unsigned kWarps = 4;    ///< of a block
constexpr unsigned kOuts = 2;     ///< of a warp
constexpr unsigned kMaxRows = 8;  ///< of activations in one pass

/// 32 columns of an activation row.
struct InputColumns {
  std::uint32_t quants[8];
  InputScales scales;
};

template <class Format>
__device__ __forceinline__ InputColumns load_columns(const QuantisedRows& x, std::uint32_t group) {
  InputColumns columns;
  put_words(load32(x.quants + std::uint64_t{32} * group), columns.quants);
  columns.scales = {x.scales[group], {0, 0}};
  if (Format::kOffset != 0 || Format::kHasMin) {
    const std::uint32_t both = reinterpret_cast<const std::uint32_t*>(x.sums)[group];
    columns.scales.sums[0] = static_cast<std::int16_t>(both & 0xffff);
    columns.scales.sums[1] = static_cast<std::int16_t>(both >> 16);
  }
  return columns;
}

/// What 32 columns of W times those of one row add to its sum.
template <class Format>
__device__ __forceinline__ float add_columns(float sum, const Columns32& w, const InputColumns& x) {
  constexpr bool kWhole = Format::kGroup == 32;  // then all products add up in the first
  const std::int32_t(&sums)[2] = x.scales.sums;
  std::int32_t products[2] = {-Format::kOffset * (kWhole ? sums[0] + sums[1] : sums[0]),
                              kWhole ? 0 : -Format::kOffset * sums[1]};
  for (int i = 0; i < 8; ++i) {
    std::int32_t& product = products[kWhole ? 0 : i / 4];
    const auto x_four = static_cast<std::int32_t>(x.quants[i]);
    if (Format::kSigned) {
      product = dot4(static_cast<std::int32_t>(w.quants[i]), x_four, product);
    } else {
      product = dot4(w.quants[i], x_four, product);
    }
  }
  return add_term<Format>(sum, w, x.scales, products);
}

/// Blocks that an SM is to have room for, with columns of `packed_bytes` on their way: what registers allow.
constexpr unsigned blocks_of_sm(unsigned rows, std::size_t packed_bytes) {
  if (rows > 2) return 4;
  if (rows == 2) return packed_bytes <= 48 ? 5 : 4;
  return packed_bytes <= 24 ? 8 : packed_bytes <= 48 ? 6 : 5;
}

/// The row to read in place of row `row`: what those beyond the last one give is not stored.
__device__ __forceinline__ std::uint32_t row_to_read(std::uint32_t row, std::uint32_t rows) {
  return row == 0 || row < rows ? row : rows - 1;
}

/// The first of a warp's outputs, and those to read in place of all of them, likewise.
__device__ __forceinline__ std::uint32_t first_out_of_warp() {
  return (blockIdx.x * kWarps + threadIdx.x / kWarp) * kOuts;
}
__device__ __forceinline__ std::uint32_t out_to_read(std::uint32_t out, std::uint32_t outs) {
  return out < outs ? out : outs - 1;
}

/// Adds up what the lanes have, and stores it.
template <unsigned kRows>
__device__ __forceinline__ void store_sums(const float (&sums)[kRows][kOuts], const Weights& w,
                                           std::uint32_t first_row, std::uint32_t rows, float* y) {
  for (unsigned r = 0; r < kRows; ++r) {
    for (unsigned o = 0; o < kOuts; ++o) {
      const float sum = warp_sum(sums[r][o]);
      const std::uint32_t row = first_row + r, out = first_out_of_warp() + o;
      if (lane_id() == 0 && row < rows && out < w.out) y[std::uint64_t{row} * w.out + out] = sum;
    }
  }
}

/// A warp's columns that are on their way.
template <class Format>
class NextColumns {
 public:
  __device__ explicit NextColumns(const Weights& w) : planes_(planes_of<Format>(w)) {
    for (unsigned o = 0; o < kOuts; ++o) {
      blocks_[o] =
          out_to_read(first_out_of_warp() + o, w.out) * (w.in / Format::kElems) + lane_id() / kGroups;
    }
  }

  /// Starts to load what comes next.
  __device__ void load() {
    for (unsigned o = 0; o < kOuts; ++o) {
      packed_[o] = Format::load(planes_, blocks_[o], part());
      blocks_[o] += kWarp / kGroups;
    }
  }

  __device__ void unpack(Columns32 (&columns)[kOuts]) const {
    for (unsigned o = 0; o < kOuts; ++o) Format::unpack(packed_[o], part(), columns[o]);
  }

 private:
  static constexpr unsigned kGroups = kGroupsOfBlock<Format>;

  /// The same for all groups of a lane, as their numbers differ by 32.
  __device__ static unsigned part() { return lane_id() % kGroups; }

  Planes planes_;
  std::uint32_t blocks_[kOuts];
  typename Format::Packed packed_[kOuts];
};

template <class Format, unsigned kRows>
__global__ void __launch_bounds__(kWarps* kWarp, blocks_of_sm(kRows, sizeof(typename Format::Packed)))
    multiply_blocks(Weights w, QuantisedRows x, std::uint32_t rows, float* y) {
  if (first_out_of_warp() >= w.out) return;
  const std::uint32_t groups = w.in / 32;
  NextColumns<Format> next(w);
  float sums[kRows][kOuts] = {};
  std::uint32_t group = lane_id();
  if (group < groups) next.load();
#pragma unroll 1
  for (; group < groups; group += kWarp) {
    Columns32 columns[kOuts];
    next.unpack(columns);
    if (group + kWarp < groups) next.load();
    for (unsigned r = 0; r < kRows; ++r) {
      const InputColumns input = load_columns<Format>(x, row_to_read(r, rows) * groups + group);
      for (unsigned o = 0; o < kOuts; ++o) sums[r][o] = add_columns<Format>(sums[r][o], columns[o], input);
    }
  }
  store_sums(sums, w, 0, rows, y);
}

/// Sixteen bytes of float weights as fp32.
struct F32Elements {
  static constexpr unsigned kElems = 4;
  __device__ static void unpack(const Bits128& bits, float (&values)[kElems]) {
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < 4; ++i) values[i] = bits_to_float(words[i]);
  }
};
struct F16Elements {
  static constexpr unsigned kElems = 8;
  __device__ static void unpack(const Bits128& bits, float (&values)[kElems]) {
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < 8; ++i)
      values[i] = to_float(Half{static_cast<std::uint16_t>(words[i / 2] >> (i % 2 * 16))});
  }
};
struct BF16Elements {
  static constexpr unsigned kElems = 8;
  __device__ static void unpack(const Bits128& bits, float (&values)[kElems]) {
    const std::uint32_t words[4] = {bits.x, bits.y, bits.z, bits.w};
    for (int i = 0; i < 8; ++i) {
      values[i] = to_float(BFloat16{static_cast<std::uint16_t>(words[i / 2] >> (i % 2 * 16))});
    }
  }
};

template <class Elements, unsigned kRows>
__global__ void __launch_bounds__(kWarps* kWarp, blocks_of_sm(kRows, sizeof(Bits128)))
    multiply_floats(Weights w, const float* x, std::uint32_t rows, float* y) {
  const std::uint32_t first_row = blockIdx.y * kRows;
  if (first_out_of_warp() >= w.out) return;
  constexpr unsigned kElems = Elements::kElems;
  const std::uint32_t pieces = w.in / kElems;
  Bits128 next[kOuts];
  const auto load = [&](std::uint32_t piece) {
    for (unsigned o = 0; o < kOuts; ++o) {
      const std::uint64_t out = out_to_read(first_out_of_warp() + o, w.out);
      next[o] = load16_once(w.data + 16 * (out * pieces + piece));
    }
  };
  float sums[kRows][kOuts] = {};
  std::uint32_t piece = lane_id();
  if (piece < pieces) load(piece);
#pragma unroll 1
  for (; piece < pieces; piece += kWarp) {
    float weights[kOuts][kElems];
    for (unsigned o = 0; o < kOuts; ++o) Elements::unpack(next[o], weights[o]);
    if (piece + kWarp < pieces) load(piece + kWarp);
    for (unsigned r = 0; r < kRows; ++r) {
      const float* row = x + std::uint64_t{row_to_read(first_row + r, rows)} * w.in + piece * kElems;
      for (unsigned i = 0; i < kElems; i += 4) {
        float four[4];
        F32Elements::unpack(load16(row + i), four);
        for (unsigned o = 0; o < kOuts; ++o) {
          for (unsigned k = 0; k < 4; ++k) {
            sums[r][o] = fused_multiply_add(weights[o][i + k], four[k], sums[r][o]);
          }
        }
      }
    }
  }
  store_sums(sums, w, first_row, rows, y);
}

/// Calls `start` with the number of rows that a pass takes, as a type.
template <class Start>
void for_rows(std::uint32_t rows, Start start) {
  if (rows == 1) return start(std::integral_constant<unsigned, 1>());
  if (rows == 2) return start(std::integral_constant<unsigned, 2>());
  if (rows <= 4) return start(std::integral_constant<unsigned, 4>());
  return start(std::integral_constant<unsigned, kMaxRows>());
}

Launch shape(const char* name, const device::Matrix& w, std::uint32_t rows, unsigned rows_of_pass) {
  return {name, dim3(divide_up(w.out, kWarps * kOuts), divide_up(rows, rows_of_pass)), dim3(kWarps * kWarp)};
}

Weights weights(const device::Matrix& w) {
  return {static_cast<const std::uint8_t*>(w.data), w.in, w.out};
}

template <class Format>
void launch_blocks(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y) {
  for_rows(input.rows, [&](auto rows) {
    launch(stream, shape("multiply_blocks", w, input.rows, rows()), multiply_blocks<Format, rows()>,
           weights(w), input.quantised, input.rows, y);
  });
}

template <class Elements>
void launch_floats(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y) {
  for_rows(input.rows, [&](auto rows) {
    launch(stream, shape("multiply_floats", w, input.rows, rows()), multiply_floats<Elements, rows()>,
           weights(w), input.x, input.rows, y);
  });
}

}  // namespace

QuantisedRows QuantisedRows::in_bytes(std::byte* bytes, std::uint32_t rows, std::uint32_t in) noexcept {
  const std::size_t elems = std::size_t{rows} * in;
  return {reinterpret_cast<std::int8_t*>(bytes), reinterpret_cast<float*>(bytes + elems),
          reinterpret_cast<std::int16_t*>(bytes + elems + elems / 8)};
}

void multiply(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y) {
  if (!takes_floats(w.type) && input.rows > kMaxRows) return multiply_many(stream, w, input, y);
  const bool blocks =
      for_block_type(w.type, [&](auto format) { launch_blocks<decltype(format)>(stream, w, input, y); });
  if (blocks) return;
  if (w.type == device::BlockType::f32) return launch_floats<F32Elements>(stream, w, input, y);
  if (w.type == device::BlockType::f16) return launch_floats<F16Elements>(stream, w, input, y);
  return launch_floats<BF16Elements>(stream, w, input, y);
}

}  // namespace tandem::cuda
