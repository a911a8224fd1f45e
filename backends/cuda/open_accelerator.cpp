// open_accelerator.h in programs that use GPUs.

#include "backends/cuda/open_accelerator.h"

#include "backends/cuda/accelerator.h"
#include "backends/cuda/open_device.h"

namespace tandem::cuda {

std::unique_ptr<device::Accelerator> open_gpu(int number, std::uint32_t multiprocessors) {
  return make_accelerator(open_device(number, multiprocessors));
}

std::unique_ptr<device::Accelerator> open_emulated(std::uint64_t) {
  return nullptr;
}

}  // namespace tandem::cuda
