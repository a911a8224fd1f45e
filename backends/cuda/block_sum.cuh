#pragma once

#include "backends/cuda/intrinsics.cuh"

namespace tandem::cuda {

/// Sum over the threads of a block of whole warps, for every thread the same; `scratch` is shared memory for
/// a number of each warp.  The order is fixed: lanes as a tree, then warps one after another.
__device__ __forceinline__ float block_sum(float value, float* scratch) {
  value = warp_sum(value);
  if (lane_id() == 0) scratch[threadIdx.x / kWarp] = value;
  sync_threads();
  float sum = 0;
  for (unsigned i = 0; i < blockDim.x / kWarp; ++i) sum += scratch[i];
  sync_threads();
  return sum;
}

}  // namespace tandem::cuda
