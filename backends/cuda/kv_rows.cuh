#pragma once

// Where K and V of a position lie, and how they are stored.

#include "backends/cuda/intrinsics.cuh"
#include "backends/cuda/step_rows.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Bytes of `elems` elements in a KV cache.
__host__ __device__ __forceinline__ std::uint64_t kv_bytes(device::KvType type, std::uint64_t elems) {
  if (type == device::KvType::f32) return elems * 4;
  if (type == device::KvType::f16) return elems * 2;
  return elems / 32 * 34;
}

/// Number of the cache row that holds `position` of the row's sequence (device.h, KvCache).
__device__ __forceinline__ std::uint64_t kv_cell(const device::KvCache& kv, const StepRows& step,
                                                 const StepRow& row, std::uint64_t position) {
  if (kv.cells != 0) return std::uint64_t{row.slot} * kv.cells + position % kv.cells;
  const std::uint64_t page = step.pages[row.pages + position / kv.page_tok];
  return page * kv.page_tok + position % kv.page_tok;
}

/// What a pair's angle grows by with each position, in turns and units of 2^-64: a product with the position
/// keeps the fraction of turns exactly, however far the position (model-spec 2.6).
__device__ __forceinline__ std::uint64_t turns_per_position(double inv_freq) {
  return static_cast<std::uint64_t>(inv_freq * 0x1.45f306dc9c883p-3 * 0x1p64);  // 1 / (2 pi)
}

/// Rotates the pair (a, b) by position * rate.
__device__ __forceinline__ void rotate_pair(std::uint64_t position, std::uint64_t rate, float* a, float* b) {
  float cos, sin;
  cos_sin_of_turns(static_cast<std::uint32_t>((position * rate) >> 32), &cos, &sin);
  const float turned = fused_multiply_add(*a, cos, -(*b * sin));
  *b = fused_multiply_add(*a, sin, *b * cos);
  *a = turned;
}

}  // namespace tandem::cuda
