#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// As open_gpu (open_accelerator.h), the device itself.
Device open_device(int number, std::uint32_t multiprocessors = 0);

}  // namespace tandem::cuda
