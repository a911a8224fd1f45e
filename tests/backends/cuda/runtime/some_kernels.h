#pragma once

#include <cstddef>

#include "backends/cuda/runtime.h"

namespace tandem::cuda_test {

/// A kernel with `blocks` blocks one below another.
void launch_some_kernel(cuda::Stream& stream, unsigned* to, unsigned blocks, std::size_t shared_bytes);

}  // namespace tandem::cuda_test
