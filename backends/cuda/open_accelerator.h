#pragma once

// The one place where builds differ: a program has the GPUs of the machine or the emulated device.  Two
// bodies: open_accelerator.cpp and emulation/open_accelerator.cpp.

#include <cstdint>
#include <memory>

#include "backends/device.h"

namespace tandem::cuda {

/// The GPU that the driver counts as `number`; null in a program without them.  Throws DeviceError if the
/// driver has none.
std::unique_ptr<device::Accelerator> open_gpu(int number);

/// An emulated device with that much memory; null in a program for GPUs.
std::unique_ptr<device::Accelerator> open_emulated(std::uint64_t memory_bytes);

}  // namespace tandem::cuda
