// Kernels over rows of activations.  A block takes a row (or a piece of it), a thread every 256th element or
// group of 32 elements.
//
// What limits them: latency.  At one row they move a few times 20 kB; a launch and two block-wide sums are
// most of their time, which is why a unit's end and the next one's beginning are one kernel.  The row is read
// again for the norm after its sum, from L1 or L2.

#include "backends/cuda/block_sum.cuh"
#include "backends/cuda/launch.cuh"
#include "backends/cuda/rows.h"

namespace tandem::cuda {
namespace {

constexpr unsigned kThreads = 256;     ///< of a block, at most
constexpr unsigned kGroup = 32;        ///< elements that share an activation scale
constexpr unsigned kGeluPiece = 1024;  ///< columns a block takes

__device__ __forceinline__ float rms_factor(const float* x, std::uint32_t n, float eps, float* scratch) {
  float sum = 0;
  for (std::uint32_t i = threadIdx.x; i < n; i += blockDim.x) sum += x[i] * x[i];
  return 1.0f / sqrtf(block_sum(sum, scratch) / static_cast<float>(n) + eps);
}

/// Group number `group` of row `row` of width `width`, by eight lanes with four elements each.  All lanes of
/// the warp call it; `values` of lanes beyond the row are not used.
__device__ __forceinline__ void quantise_group(const float (&values)[4], const QuantisedRows& to,
                                               std::uint64_t group, bool inside) {
  const unsigned part = lane_id() % 8;
  float amax = 0;
  for (const float value : values) amax = fmaxf(amax, fabsf(value));
  for (unsigned bits = 1; bits < 8; bits *= 2) amax = fmaxf(amax, shuffle_xor(amax, bits));
  const float inverse = amax > 0 ? 127.0f / amax : 0.0f;
  std::uint32_t four = 0;
  std::int32_t sum = 0;
  for (int i = 0; i < 4; ++i) {
    const auto quant = static_cast<std::int32_t>(roundf(values[i] * inverse));
    four |= (static_cast<std::uint32_t>(quant) & 255) << (8 * i);
    sum += quant;
  }
  for (unsigned bits = 1; bits < 4; bits *= 2) sum += shuffle_xor(sum, bits);
  if (!inside) return;
  reinterpret_cast<std::uint32_t*>(to.quants)[8 * group + part] = four;
  if (part % 4 == 0) to.sums[2 * group + part / 4] = static_cast<std::int16_t>(sum);
  if (part == 0) to.scales[group] = amax / 127.0f;
}

/// Columns [first, first + n) of row `row`, multiples of 32, `value(column)` each, as integers.
template <class Value>
__device__ __forceinline__ void quantise_columns(const QuantisedRows& to, std::uint64_t row,
                                                 std::uint32_t width, std::uint32_t first, std::uint32_t n,
                                                 const Value& value) {
  const std::uint32_t fours = n / 4;
  for (std::uint32_t base = threadIdx.x / kWarp * kWarp; base < fours; base += blockDim.x) {
    const std::uint32_t four = base + lane_id();
    const bool inside = four < fours;
    float values[4] = {};
    for (std::uint32_t i = 0; i < 4 && inside; ++i) values[i] = value(first + 4 * four + i);
    quantise_group(values, to, row * (width / kGroup) + (first + 4 * four) / kGroup, inside);
  }
}

__global__ void __launch_bounds__(kThreads) finish_and_norm_row(RowStep step) {
  auto& scratch = block_variable<float[kThreads / kWarp]>();
  const std::uint64_t row = blockIdx.x;
  float* x = step.x + (step.row_indices != nullptr ? step.row_indices[row] : row) * step.width;
  if (step.projected != nullptr) {
    const float* projected = step.projected + row * step.width;
    const float factor = rms_factor(projected, step.width, step.eps, scratch);
    for (std::uint32_t i = threadIdx.x; i < step.width; i += blockDim.x) {
      x[i] = (x[i] + projected[i] * factor * step.post_norm[i]) * step.scale;
    }
  }
  if (step.norm == nullptr) return;
  const float factor = rms_factor(x, step.width, step.eps, scratch);  // each thread reads what it wrote
  float* normed = step.normed + row * step.width;
  for (std::uint32_t i = threadIdx.x; i < step.width; i += blockDim.x)
    normed[i] = x[i] * factor * step.norm[i];
  if (step.quantised.quants == nullptr) return;
  sync_threads();
  quantise_columns(step.quantised, row, step.width, 0, step.width,
                   [normed](std::uint32_t i) { return normed[i]; });
}

/// gelu_tanh(t) = t (1 + tanh u) / 2, u = sqrt(2/pi) (t + 0.044715 t^3).
__device__ __forceinline__ float gelu(float t) {
  return t / (1.0f + expf(-1.59576912f * (t + 0.044715f * t * t * t)));
}

__global__ void __launch_bounds__(kThreads)
    gelu_multiply_piece(float* gate, const float* up, QuantisedRows quantised, std::uint32_t width) {
  const std::uint64_t row = blockIdx.y;
  const std::uint32_t first = blockIdx.x * kGeluPiece;
  const std::uint32_t n = width - first < kGeluPiece ? width - first : kGeluPiece;
  gate += row * width;
  up += row * width;
  for (std::uint32_t i = first + threadIdx.x; i < first + n; i += blockDim.x) gate[i] = gelu(gate[i]) * up[i];
  if (quantised.quants == nullptr) return;
  sync_threads();
  quantise_columns(quantised, row, width, first, n, [gate](std::uint32_t i) { return gate[i]; });
}

__global__ void __launch_bounds__(kThreads)
    quantise_row(const float* x, QuantisedRows quantised, std::uint32_t width) {
  const std::uint64_t row = blockIdx.x;
  x += row * width;
  quantise_columns(quantised, row, width, 0, width, [x](std::uint32_t i) { return x[i]; });
}

__global__ void __launch_bounds__(kThreads) softcap_elements(float* x, std::uint64_t n, float cap) {
  const std::uint64_t i = std::uint64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (i < n) x[i] = cap * tanhf(x[i] / cap);
}

/// Whole warps for a row of `width` elements, four a thread.
dim3 threads_for(std::uint32_t width) {
  const unsigned threads = divide_up(divide_up(width, 4u), kWarp) * kWarp;
  return dim3(threads < kThreads ? threads : kThreads);
}

}  // namespace

void finish_and_norm(Stream& stream, const RowStep& step, std::uint32_t rows) {
  launch(stream, {"finish_and_norm", dim3(rows), threads_for(step.width)}, finish_and_norm_row, step);
}

void gelu_multiply(Stream& stream, float* gate, const float* up, const QuantisedRows& quantised,
                   std::uint32_t rows, std::uint32_t width) {
  launch(stream, {"gelu_multiply", dim3(divide_up(width, kGeluPiece), rows), threads_for(width)},
         gelu_multiply_piece, gate, up, quantised, width);
}

void quantise(Stream& stream, const float* x, const QuantisedRows& quantised, std::uint32_t rows,
              std::uint32_t width) {
  launch(stream, {"quantise", dim3(rows), threads_for(width)}, quantise_row, x, quantised, width);
}

void softcap(Stream& stream, float* x, std::uint64_t n, float cap) {
  launch(stream,
         {"softcap", dim3(static_cast<unsigned>(divide_up<std::uint64_t>(n, kThreads))), dim3(kThreads)},
         softcap_elements, x, n, cap);
}

}  // namespace tandem::cuda
