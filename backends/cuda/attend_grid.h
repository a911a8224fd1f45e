#pragma once

#include <cstdint>
#include <type_traits>

#include "backends/cuda/attend.h"
#include "backends/cuda/launch.cuh"

namespace tandem::cuda {

constexpr unsigned kAttendThreads = 128;  ///< of a block
constexpr unsigned kKeys = 16;            ///< of a block of keys
constexpr unsigned kQueries = 16;         ///< of a block of threads
constexpr unsigned kLanesOfQuery = kAttendThreads / kQueries;
constexpr unsigned kMaxHeadDim = 512;
constexpr std::uint64_t kShortestPart = 256;
constexpr std::uint32_t kFewestSplits = 3;  ///< worth cutting keys for

/// What one launch's blocks have in common.
struct AttendGrid {
  std::uint32_t rows_together = 1;
  std::uint32_t heads_together = 1;
  std::uint32_t head_tiles = 1;  ///< of a KV head
  dim3 blocks;                   ///< (row tiles, KV heads * head tiles, parts); one part: not cut
};

/// Attention in fp32 arithmetic, for f32 caches.
void attend_in_floats(Stream& stream, const AttendStep& attention, const AttendGrid& grid);

/// Attention through the tensor cores, for f16 and q8_0 caches.
void attend_in_halves(Stream& stream, const AttendStep& attention, const AttendGrid& grid);

}  // namespace tandem::cuda
