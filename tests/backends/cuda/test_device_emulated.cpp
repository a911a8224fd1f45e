#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda_test {

cuda::Device open_test_device(const cuda::emulation::Options& options) {
  return cuda::emulation::make_device(options);
}

}  // namespace tandem::cuda_test
