#pragma once

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// As device::Accelerator::reduce.
void reduce(Stream& stream, const device::LogitReduction& reduction);

}  // namespace tandem::cuda
