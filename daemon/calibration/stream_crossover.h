#pragma once

#include <cstdint>
#include <vector>

#include "daemon/calibration/pace.h"
#include "daemon/calibration/weight_block.h"
#include "model/tensor_type.h"

namespace tandem::calibration {

/// How long an FFN half took for a chunk of a prompt.
struct ChunkTime {
  std::uint32_t rows = 0;
  double seconds = 0;
};

/// Times of an FFN half of `shape` and `type` on the CPU, with a team of `threads` pinned threads; 0: one for
/// each core.
std::vector<ChunkTime> cpu_chunk_times(Pace& pace, unsigned threads, const FfnShape& shape,
                                       model::TensorType type, const std::vector<std::uint32_t>& rows);

/// Rows from which a half whose weights are streamed to a GPU takes no longer than on the CPU, there and in
/// all larger chunks of those that were measured on both, which go upwards.  Between the last chunk that the
/// CPU is faster with and the next one the difference is taken as a straight line.  0 where the CPU is faster
/// with the largest chunk, or nothing was measured on both.
double crossover_rows(const std::vector<ChunkTime>& on_cpu, const std::vector<ChunkTime>& streamed);

}  // namespace tandem::calibration
