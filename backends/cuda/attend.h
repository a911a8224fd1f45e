#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"
#include "backends/cuda/step_rows.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Attention of a micro-batch: what `finish_heads` made, and where the results go.
struct AttendStep {
  device::AttentionHalf half;  ///< head_dim a multiple of 16, at most 512
  StepRows step;
  const float* q = nullptr;            ///< (rows, heads, head_dim), scaled and rounded
  const std::byte* staging = nullptr;  ///< (rows, KV row)
  float* out = nullptr;                ///< as q
  float* parts = nullptr;              ///< (8, heads, max_splits, head_dim + 2)
  std::uint32_t max_splits = 1;        ///< parts that the keys of a row may be cut into
};

/// Softmax attention over the visible keys.  What a row gets depends on its position, its keys and max_splits
/// only: keys are cut into parts in the same places however many blocks there are.
void attend(Stream& stream, const AttendStep& attention);

}  // namespace tandem::cuda
