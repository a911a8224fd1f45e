#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"
#include "backends/cuda/step_rows.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Buffers of an attention half; its matrices are not used.
struct HeadStep {
  device::AttentionHalf half;
  float eps = 1e-6f;
  StepRows step;
  float* q = nullptr;            ///< (rows, heads, head_dim)
  const float* k = nullptr;      ///< (rows, kv_heads, head_dim)
  const float* v = nullptr;      ///< as k; null where there is no V projection
  std::byte* staging = nullptr;  ///< (rows, KV row)
};

/// Norms and rotates every head; q is scaled and rounded in place, K and V go to staging in the KV type
/// (model-spec 2.2 and 2.3, steps 3 to 6).
void finish_heads(Stream& stream, const HeadStep& heads);

/// Copies K and V of every row from staging to the cache, unless a later row takes the same cell
/// or the row is padding; of a draft to where it waits.
void commit_rows(Stream& stream, const HeadStep& heads);

/// Copies drafts of last steps that were accepted to the cache, before the step attends.
void commit_accepted(Stream& stream, const device::KvCache& kv, const StepRows& step);

}  // namespace tandem::cuda
