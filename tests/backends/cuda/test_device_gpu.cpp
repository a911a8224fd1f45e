#include "backends/cuda/open_device.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda_test {

cuda::Device open_test_device(const cuda::emulation::Options&) {
  return cuda::open_device(0);
}

}  // namespace tandem::cuda_test
