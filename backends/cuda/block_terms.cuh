#pragma once

// What 32 columns of a weight row and of an activation row add to a product: the same arithmetic, to the bit,
// wherever the integer products come from.

#include "backends/cuda/formats.cuh"
#include "backends/cuda/multiply.h"

namespace tandem::cuda {

/// A matrix as kernels see it.
struct Weights {
  const std::uint8_t* data;
  std::uint32_t in;
  std::uint32_t out;
};

/// An activation row's part.
struct InputScales {
  float scale;
  std::int32_t sums[2];  ///< of the quants of each half; not used where there is no min
};

/// sum + the term of integer products of (quant - kOffset) with the activations, of each half of the columns.
template <class Format>
__device__ __forceinline__ float add_term(float sum, const GroupScales& w, const InputScales& x,
                                          const std::int32_t (&products)[2]) {
  constexpr bool kWhole = Format::kGroup == 32;
  for (int half = 0; half < (kWhole ? 1 : 2); ++half) {
    const std::int32_t product = kWhole ? products[0] + products[1] : products[half];
    const std::int32_t x_sum = kWhole ? x.sums[0] + x.sums[1] : x.sums[half];
    sum = fused_multiply_add(w.scale[half] * x.scale, static_cast<float>(product), sum);
    if (Format::kHasMin) sum = fused_multiply_add(w.min[half], x.scale * static_cast<float>(x_sum), sum);
  }
  return sum;
}

template <class Format>
__device__ __forceinline__ Planes planes_of(const Weights& w) {
  return {w.data, std::uint64_t{w.out} * (w.in / Format::kElems)};
}

}  // namespace tandem::cuda
