#pragma once

// The one place where builds differ: a program has the GPUs of the machine or the emulated device.  Two
// bodies: open_accelerator.cpp and emulation/open_accelerator.cpp.

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// The GPUs that the driver counts, in its order.
struct GpuSurvey {
  std::vector<DeviceProperties> gpus;
  std::string none_because;  ///< why there are none; empty if there are
};

/// Asks the driver; takes nothing of any GPU.
GpuSurvey find_gpus();

/// The GPU that the driver counts as `number`; null in a program without them.  With `multiprocessors`, its
/// streams compute on no more of them than that, rounded up to what the GPU can set apart.  Throws
/// DeviceError if the driver has no such GPU or cannot set a part of it apart.
std::unique_ptr<device::Accelerator> open_gpu(int number, std::uint32_t multiprocessors = 0);

/// An emulated device with that much memory; null in a program for GPUs.
std::unique_ptr<device::Accelerator> open_emulated(std::uint64_t memory_bytes);

}  // namespace tandem::cuda
