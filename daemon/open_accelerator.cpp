#include "daemon/open_accelerator.h"

#include "backends/cuda/open_accelerator.h"

namespace tandem::daemon {

std::unique_ptr<device::Accelerator> open_accelerator(const planner::Plan& plan) {
  const auto gpu = planner::gpu_of(plan);
  if (gpu == planner::Device::cuda0) return cuda::open_gpu(0);
  if (gpu == planner::Device::emulated0) return cuda::open_emulated(plan.budget.vram_bytes);
  return nullptr;
}

}  // namespace tandem::daemon
