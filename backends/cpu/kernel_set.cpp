#include "backends/cpu/kernel_set.h"

#include <algorithm>
#include <cstdlib>
#include <string_view>

#include "backends/cpu/supported_sets.h"

namespace tandem::cpu {

extern const KernelSet kPortableKernels;

namespace {

SupportedSets detect() noexcept {
  SupportedSets supported;
  add_sets_of_architecture(supported);
  supported.add(kPortableKernels);
  return supported;
}

const KernelSet& choose() {
  const auto sets = supported_kernel_sets();
  const char* const wanted = std::getenv("TANDEM_KERNELS");
  if (wanted == nullptr) return *sets.front();
  const auto found = std::ranges::find(sets, std::string_view(wanted), &KernelSet::name);
  if (found != sets.end()) return **found;
  std::string names;
  for (const KernelSet* set : sets) names += names.empty() ? set->name : std::string(", ") + set->name;
  throw UnsupportedKernels("TANDEM_KERNELS is " + std::string(wanted) + "; this machine runs " + names);
}

}  // namespace

std::span<const KernelSet* const> supported_kernel_sets() noexcept {
  static const SupportedSets supported = detect();
  return supported.all();
}

const KernelSet& best_kernel_set() {
  static const KernelSet& best = choose();
  return best;
}

}  // namespace tandem::cpu
