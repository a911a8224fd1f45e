#pragma once

#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// The GPU that the driver counts as `number`.  Throws DeviceError if there is none.
Device open_device(int number);

}  // namespace tandem::cuda
