// Projections: a warp computes one output for up to eight rows of activations, so that weights are read once
// for all of them.  Lanes take 32 columns in turns (8 or 4 of float types); every row adds its terms in the
// same order whatever the other rows are, and the warp adds its lanes as a tree.
//
// What limits it: at one row the bytes of the weights, if enough loads are in flight: a lane has one to four
// 16-byte loads outstanding, 4 warps a block and 12 blocks an SM.  Every output reads the whole activation
// row, often more bytes than its weights: they have to come from L1, L2 would not be fast enough.  From four
// rows on, the loads of activations (2 x 16 bytes of L1 for 8 to 16 products of four) and dp4a.  Types with
// 16-column scales need twice the fp32 work.  More rows of block types are multiply_many.cu's; of float types
// they read the weights again for every eight, in fp32.

#include "backends/cuda/block_terms.cuh"
#include "backends/cuda/for_block_type.cuh"
#include "backends/cuda/launch.cuh"
#include "backends/cuda/multiply.h"
#include "backends/cuda/multiply_many.h"

namespace tandem::cuda {
namespace {

constexpr unsigned kWarps = 4;    ///< of a block, an output each
constexpr unsigned kMaxRows = 8;  ///< of activations in one pass

/// What 32 columns of W times those of one row add to its sum.
template <class Format>
__device__ __forceinline__ float add_columns(float sum, const Columns32& w, const QuantisedRows& x,
                                             std::uint64_t group) {
  std::uint32_t quants[8];  // read by all warps, so from L1
  load_8_words(reinterpret_cast<const std::uint8_t*>(x.quants) + 32 * group, quants);
  std::int32_t products[2] = {0, 0};
  for (int i = 0; i < 8; ++i) {
    const auto x_four = static_cast<std::int32_t>(quants[i]);
    if (Format::kSigned) {
      products[i / 4] = dot4(static_cast<std::int32_t>(w.quants[i]), x_four, products[i / 4]);
    } else {
      products[i / 4] = dot4(w.quants[i], x_four, products[i / 4]);
    }
  }
  InputScales input{x.scales[group], {0, 0}};
  for (int half = 0; half < 2 && (Format::kOffset != 0 || Format::kHasMin); ++half) {
    input.sums[half] = x.sums[2 * group + half];
    products[half] -= Format::kOffset * input.sums[half];
  }
  return add_term<Format>(sum, w, input, products);
}

template <class Format, unsigned kRows>
__global__ void __launch_bounds__(kWarps* kWarp)
    multiply_blocks(Weights w, QuantisedRows x, std::uint32_t rows, float* y) {
  const std::uint32_t out = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const std::uint32_t first_row = blockIdx.y * kRows;
  if (out >= w.out) return;
  const std::uint32_t groups = w.in / 32;
  float sums[kRows] = {};
  for (std::uint32_t group = lane_id(); group < groups; group += kWarp) {
    Columns32 columns;
    unpack_group<Format>(w, out, group, columns);
    for (unsigned r = 0; r < kRows; ++r) {
      if (first_row + r >= rows) break;
      sums[r] = add_columns<Format>(sums[r], columns, x, std::uint64_t{first_row + r} * groups + group);
    }
  }
  for (unsigned r = 0; r < kRows; ++r) {
    if (first_row + r >= rows) break;
    const float sum = warp_sum(sums[r]);
    if (lane_id() == 0) y[std::uint64_t{first_row + r} * w.out + out] = sum;
  }
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
__global__ void __launch_bounds__(kWarps* kWarp)
    multiply_floats(Weights w, const float* x, std::uint32_t rows, float* y) {
  const std::uint32_t out = blockIdx.x * kWarps + threadIdx.x / kWarp;
  const std::uint32_t first_row = blockIdx.y * kRows;
  if (out >= w.out) return;
  constexpr unsigned kElems = Elements::kElems;
  const std::uint32_t pieces = w.in / kElems;
  float sums[kRows] = {};
  for (std::uint32_t piece = lane_id(); piece < pieces; piece += kWarp) {
    float weights[kElems];
    Elements::unpack(load16_once(w.data + 16 * (std::uint64_t{out} * pieces + piece)), weights);
    for (unsigned r = 0; r < kRows; ++r) {
      if (first_row + r >= rows) break;
      const float* row = x + std::uint64_t{first_row + r} * w.in + piece * kElems;
      for (unsigned i = 0; i < kElems; i += 4) {
        float four[4];
        F32Elements::unpack(load16(row + i), four);
        for (unsigned k = 0; k < 4; ++k) sums[r] = fused_multiply_add(weights[i + k], four[k], sums[r]);
      }
    }
  }
  for (unsigned r = 0; r < kRows; ++r) {
    if (first_row + r >= rows) break;
    const float sum = warp_sum(sums[r]);
    if (lane_id() == 0) y[std::uint64_t{first_row + r} * w.out + out] = sum;
  }
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
  return {name, dim3(divide_up(w.out, kWarps), divide_up(rows, rows_of_pass)), dim3(kWarps * kWarp)};
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
