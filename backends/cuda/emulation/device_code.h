#pragma once

// What emulated threads call: barriers, warp collectives, shared memory.  C++17, as kernels include it.

#include <cstddef>
#include <cstdint>

#include "backends/cuda/emulation/keywords.h"

namespace tandem::cuda::emulation {

/// Where in the source a thread waits.
struct Place {
  const char* file;
  int line;
};

/// The dynamic shared memory of the calling thread's block, aligned to 128 bytes.
std::byte* shared_memory() noexcept;

/// The block's variable of `bytes` bytes that goes by the name of `key`.
std::byte* block_variable(const void* key, std::size_t bytes);

/// All threads of the block have to come here, none may have ended.
void block_barrier(Place place);

/// PTX bar.sync and bar.arrive: `threads` threads meet at barrier `id`, 1 to 15; whole warps.
void named_barrier(unsigned id, unsigned threads, bool waits, Place place);

/// Deposits `in`, and returns when every lane of `mask` came to the same place; the last one calls `compute`
/// with everybody's `in` and `out` by lane (null for lanes outside the mask).
using WarpFunction = void (*)(const void* const (&in)[32], void* const (&out)[32]);
void warp_collective(std::uint32_t mask, WarpFunction compute, const void* in, void* out, Place place);

/// The kernel fails unless the address is a multiple of `bytes`.
void check_aligned(const void* address, std::size_t bytes, Place place);

/// The kernel fails if the address is null.
void check_not_null(const void* address, Place place);

/// Number of the calling thread in its warp.
unsigned lane() noexcept;

}  // namespace tandem::cuda::emulation
