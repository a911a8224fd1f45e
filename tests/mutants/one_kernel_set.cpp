#include "backends/cpu/kernel_set.h"

namespace tandem::cpu {

extern const KernelSet kSse41Kernels;

std::span<const KernelSet* const> supported_kernel_sets() noexcept {
  static constexpr const KernelSet* kSets[] = {&kSse41Kernels};
  return kSets;
}

const KernelSet& best_kernel_set() noexcept {
  return kSse41Kernels;
}

}  // namespace tandem::cpu
