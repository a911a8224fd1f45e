#include "backends/cpu/kernel_set.h"

namespace tandem::cpu {

extern const KernelSet kPortableKernels;

std::span<const KernelSet* const> supported_kernel_sets() noexcept {
  static constexpr const KernelSet* kSets[] = {&kPortableKernels};
  return kSets;
}

const KernelSet& best_kernel_set() {
  return kPortableKernels;
}

}  // namespace tandem::cpu
