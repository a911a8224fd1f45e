// Which blocks share out attention, and the merge of their parts.

#include "backends/cuda/attend.h"
#include "backends/cuda/attend_flow.cuh"

namespace tandem::cuda {
namespace {

/// Merges the parts of one query, oldest first, as attend_whole does.
__global__ void __launch_bounds__(kAttendThreads) merge_parts(AttendStep attention) {
  const device::AttentionHalf& half = attention.half;
  const std::uint64_t head = blockIdx.x, row = blockIdx.y;
  const StepRow& its_row = attention.step.rows[row];
  const std::uint64_t length = part_length(its_row.position, half.window, attention.max_splits);
  const std::uint64_t oldest = first_visible(half.window, its_row.first_key, its_row.position);
  const std::uint64_t parts = its_row.position / length - oldest / length + 1;
  float peak = kMinusInfinity, weight = 0;
  constexpr unsigned kDims = kMaxHeadDim / kAttendThreads;
  float sums[kDims] = {};
  for (std::uint64_t p = 0; p < parts; ++p) {
    const float* part = part_of(attention, row, head, p);
    const float part_peak = part[half.head_dim];
    const float new_peak = fmaxf(peak, part_peak);
    const float scale = expf(peak - new_peak), part_scale = expf(part_peak - new_peak);
    weight = merged(weight, scale, part[half.head_dim + 1], part_scale);
    for (unsigned i = 0; i < kDims; ++i) {
      const std::uint32_t d = threadIdx.x + i * kAttendThreads;
      if (d < half.head_dim) sums[i] = merged(sums[i], scale, part[d], part_scale);
    }
    peak = new_peak;
  }
  float* out = attention.out + (row * half.heads + head) * half.head_dim;
  for (unsigned i = 0; i < kDims; ++i) {
    const std::uint32_t d = threadIdx.x + i * kAttendThreads;
    if (d < half.head_dim) out[d] = sums[i] / weight;
  }
}

/// The most parts that a row's keys are cut into.
std::uint32_t most_parts(const AttendStep& attention) {
  const std::uint64_t context = attention.step.context_tok, window = attention.half.window;
  if (context == 0) return attention.max_splits;
  const std::uint64_t keys = window != 0 && window < context ? window : context;
  const std::uint64_t parts = keys / kShortestPart + 2;
  return parts < attention.max_splits ? static_cast<std::uint32_t>(parts) : attention.max_splits;
}

}  // namespace

void attend(Stream& stream, const AttendStep& attention) {
  const device::AttentionHalf& half = attention.half;
  const std::uint32_t rows = attention.step.n_rows;
  const std::uint32_t group = half.heads / half.kv_heads;
  const bool splits = rows <= kDecodeRows && attention.max_splits >= kFewestSplits;
  AttendGrid grid;
  grid.heads_together = group < kQueries ? group : kQueries;
  grid.head_tiles = divide_up(group, grid.heads_together);
  grid.rows_together = splits ? 1 : kQueries / grid.heads_together;
  grid.blocks = dim3(divide_up(rows, grid.rows_together), half.kv_heads * grid.head_tiles,
                     splits ? most_parts(attention) : 1);
  if (half.kv.type == device::KvType::f32) {
    attend_in_floats(stream, attention, grid);
  } else {
    attend_in_halves(stream, attention, grid);
  }
  if (splits) {
    launch(stream, {"merge_parts", dim3(half.heads, rows), dim3(kAttendThreads)}, merge_parts, attention);
  }
}

}  // namespace tandem::cuda
