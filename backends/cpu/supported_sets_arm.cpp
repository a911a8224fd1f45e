#include <asm/hwcap.h>
#include <sys/auxv.h>

#include "backends/cpu/supported_sets.h"

namespace tandem::cpu {

extern const KernelSet kNeonDotKernels;
extern const KernelSet kNeonKernels;

void add_sets_of_architecture(SupportedSets& supported) noexcept {
  if ((::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) supported.add(kNeonDotKernels);
  supported.add(kNeonKernels);
}

}  // namespace tandem::cpu
