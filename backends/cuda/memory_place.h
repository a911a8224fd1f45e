#pragma once

#include <cstddef>

#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// Where memory of runtime.h lies.
enum class MemoryPlace { device, pinned };

/// What the bodies of runtime.h give runtime_memory.cpp: memory of `bytes` bytes, zeroed if pinned (throws
/// DeviceError), and taking it back.
std::byte* allocate(Device::State& device, std::size_t bytes, MemoryPlace place);
void release(Device::State& device, std::byte* data, MemoryPlace place) noexcept;

}  // namespace tandem::cuda
