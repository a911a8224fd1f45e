#include "backends/cuda/launch.cuh"
#include "tests/backends/cuda/runtime/some_kernels.h"

namespace tandem::cuda_test {
namespace {

__global__ void some_kernel(unsigned* to) {
  *to = blockIdx.x;
}

}  // namespace

void launch_some_kernel(cuda::Stream& stream, unsigned* to, unsigned blocks, std::size_t shared_bytes) {
  cuda::launch(stream, {"some_kernel", dim3(1, blocks), dim3(32), shared_bytes}, some_kernel, to);
}

}  // namespace tandem::cuda_test
