#pragma once

#include <cstddef>
#include <functional>

#include "backends/cuda/emulation/keywords.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda::emulation {

struct GridShape {
  dim3 blocks;
  dim3 threads;
  std::size_t shared_bytes;
};

/// Throws DeviceError if a word of a kernel's argument is an address of the host's memory, which a device
/// cannot read unless it is pinned.
void check_argument(Stream& stream, const char* name, const void* argument, std::size_t bytes);

/// Puts a kernel into a stream: every thread of the grid calls `kernel`.  Throws DeviceError if it cannot be
/// launched: no blocks or threads, over 1024 threads a block, more shared memory than an SM has, or too large
/// a y or z.
void enqueue(Stream& stream, const char* name, const GridShape& shape, std::function<void()> kernel);

}  // namespace tandem::cuda::emulation
