#pragma once

#include <memory>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// A CUDA device as device.h wants it.
std::unique_ptr<device::Accelerator> make_accelerator(Device device);

}  // namespace tandem::cuda
