// The yardstick: what a kernel reaches that only reads.

#include "backends/cuda/launch.cuh"
#include "bench/on_gpu/read_ceiling.h"

namespace tandem::bench {
namespace {

using namespace tandem::cuda;

constexpr unsigned kThreads = kReadWarps * kWarp;
constexpr unsigned kInFlight = 8;  ///< loads of a thread before it uses the first

__global__ void __launch_bounds__(kThreads)
    read_kernel(const std::byte* from, std::uint64_t pieces, std::uint32_t* sums) {
  const std::uint64_t stride = std::uint64_t{gridDim.x} * kThreads;
  std::uint32_t sum = 0;
  for (std::uint64_t first = std::uint64_t{blockIdx.x} * kThreads + threadIdx.x; first < pieces;
       first += stride * kInFlight) {
    Bits128 loaded[kInFlight] = {};
    for (unsigned i = 0; i < kInFlight; ++i) {
      const std::uint64_t piece = first + i * stride;
      if (piece < pieces) loaded[i] = load16_once(from + 16 * piece);
    }
    for (unsigned i = 0; i < kInFlight; ++i) {
      sum ^= loaded[i].x ^ loaded[i].y ^ loaded[i].z ^ loaded[i].w;
    }
  }
  for (unsigned lane = kWarp / 2; lane > 0; lane /= 2) sum ^= shuffle_xor(sum, lane);
  if (lane_id() == 0) sums[(std::uint64_t{blockIdx.x} * kThreads + threadIdx.x) / kWarp] = sum;
}

}  // namespace

void read_all(Stream& stream, const std::byte* from, std::size_t bytes, std::uint32_t blocks,
              std::uint32_t* sums) {
  launch(stream, {"read_all", dim3(blocks), dim3(kThreads)}, read_kernel, from, std::uint64_t{bytes} / 16,
         sums);
}

}  // namespace tandem::bench
