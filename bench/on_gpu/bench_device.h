#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"

namespace tandem::bench {

/// The device that this program measures, limited to `multiprocessors` (open_accelerator.h) unless they are
/// 0: the first GPU, in programs for GPUs; else an emulated one, with a driver that takes memory as a GPU's
/// does. Its times mean nothing, and it cannot be limited.  Throws cuda::DeviceError.
cuda::Device open_bench_device(std::uint32_t multiprocessors);

}  // namespace tandem::bench
