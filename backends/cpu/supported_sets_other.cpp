// Architectures that have no kernels of their own.

#include "backends/cpu/supported_sets.h"

namespace tandem::cpu {

void add_sets_of_architecture(SupportedSets& /*supported*/) noexcept {}

}  // namespace tandem::cpu
