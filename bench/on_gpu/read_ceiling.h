#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/runtime.h"

namespace tandem::bench {

constexpr unsigned kReadWarps = 8;  ///< of a block

/// Reads `bytes` bytes (whole 16) with `blocks` blocks as fast as a kernel can that does nothing else; every
/// warp writes what it made of them to `sums` (blocks, kReadWarps), so that no reading is left out.
void read_all(cuda::Stream& stream, const std::byte* from, std::size_t bytes, std::uint32_t blocks,
              std::uint32_t* sums);

}  // namespace tandem::bench
