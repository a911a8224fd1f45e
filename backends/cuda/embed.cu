// Gathers rows of the embedding.  A block takes a row, a thread 32 columns of it.
//
// What limits it: latency; a row is a few kB, and there is one a token.

#include "backends/cuda/embed.h"
#include "backends/cuda/for_block_type.cuh"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {
namespace {

constexpr unsigned kThreads = 128;

/// A table as kernels see it.
struct Table {
  const std::uint8_t* data;
  std::uint32_t width;
  std::uint32_t vocab;
  float scale;
};

template <class Format>
__global__ void __launch_bounds__(kThreads) embed_blocks(Table table, const std::int32_t* tokens, float* x) {
  const std::uint32_t groups = table.width / 32;
  const Planes planes{table.data, std::uint64_t{table.vocab} * (table.width / Format::kElems)};
  const auto token = static_cast<std::uint64_t>(tokens[blockIdx.x]);
  for (std::uint32_t group = threadIdx.x; group < groups; group += kThreads) {
    Columns32 columns;
    unpack_group<Format>(planes, token * groups + group, columns);
    float* to = x + std::uint64_t{blockIdx.x} * table.width + 32 * group;
    for (int i = 0; i < 32; ++i) {
      const std::uint32_t byte = columns.quants[i / 4] >> (8 * (i % 4)) & 255;
      const int quant = Format::kSigned ? static_cast<std::int8_t>(byte) : static_cast<int>(byte);
      float value = columns.scale[i / 16] * static_cast<float>(quant - Format::kOffset);
      if (Format::kHasMin) value += columns.min[i / 16];
      to[i] = value * table.scale;
    }
  }
}

__device__ __forceinline__ float value_of(float element) {
  return element;
}
__device__ __forceinline__ float value_of(Half element) {
  return to_float(element);
}
__device__ __forceinline__ float value_of(BFloat16 element) {
  return to_float(element);
}

template <class Element>
__global__ void __launch_bounds__(kThreads) embed_floats(Table table, const std::int32_t* tokens, float* x) {
  const auto token = static_cast<std::uint64_t>(tokens[blockIdx.x]);
  const auto* row = reinterpret_cast<const Element*>(table.data) + token * table.width;
  for (std::uint32_t i = threadIdx.x; i < table.width; i += kThreads) {
    x[std::uint64_t{blockIdx.x} * table.width + i] = value_of(row[i]) * table.scale;
  }
}

}  // namespace

void embed(Stream& stream, const device::Embedding& embedding, const std::int32_t* tokens, std::uint32_t rows,
           float* x) {
  const device::Matrix& matrix = embedding.table;
  const Table table{static_cast<const std::uint8_t*>(matrix.data), matrix.in, matrix.out, embedding.scale};
  const auto start = [&](auto* kernel) {
    launch(stream, {"embed", dim3(rows), dim3(kThreads)}, kernel, table, tokens, x);
  };
  const bool blocks =
      for_block_type(matrix.type, [&](auto format) { start(embed_blocks<decltype(format)>); });
  if (blocks) return;
  if (matrix.type == device::BlockType::f32) return start(embed_floats<float>);
  if (matrix.type == device::BlockType::f16) return start(embed_floats<Half>);
  return start(embed_floats<BFloat16>);
}

}  // namespace tandem::cuda
