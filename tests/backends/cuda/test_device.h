#pragma once

#include "backends/cuda/emulation/device.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda_test {

/// The device that tests run on.  Two bodies: an emulated one, which is as `options` say; and, in the
/// programs that bench/gpu takes to a machine with a GPU (TANDEM_ON_GPU), its first GPU, which is as it is.
cuda::Device open_test_device(const cuda::emulation::Options& options);

}  // namespace tandem::cuda_test
