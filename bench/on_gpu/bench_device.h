#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"
#include "planner/plan.h"

namespace tandem::bench {

/// What plans call the device that this program measures: cuda0 in programs for GPUs, else emulated0.
planner::Device bench_device_name();

/// That device, limited to `multiprocessors` (open_accelerator.h) unless they are 0.  The emulated one, whose
/// times mean nothing, cannot be limited.  Throws cuda::DeviceError.
cuda::Device open_bench_device(std::uint32_t multiprocessors);

}  // namespace tandem::bench
