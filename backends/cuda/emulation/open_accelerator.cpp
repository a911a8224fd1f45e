// open_accelerator.h in programs that emulate one.

#include "backends/cuda/open_accelerator.h"

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"

namespace tandem::cuda {

GpuSurvey find_gpus() {
  return {{}, "this program was built without the part for GPUs (TANDEM_GPU)"};
}

std::unique_ptr<device::Accelerator> open_gpu(int, std::uint32_t) {
  return nullptr;
}

std::unique_ptr<device::Accelerator> open_emulated(std::uint64_t memory_bytes) {
  emulation::Options options;
  options.memory_bytes = memory_bytes;
  return make_accelerator(emulation::make_device(options));
}

}  // namespace tandem::cuda
