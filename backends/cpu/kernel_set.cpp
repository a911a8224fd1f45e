#include "backends/cpu/kernel_set.h"

#include <array>

namespace tandem::cpu {

extern const KernelSet kAvx512VnniKernels;
extern const KernelSet kAvx2Kernels;
extern const KernelSet kSse41Kernels;

namespace {

struct SupportedSets {
  std::array<const KernelSet*, 3> sets{};
  std::size_t n = 0;

  void add(const KernelSet& set) noexcept { sets.at(n++) = &set; }
};

SupportedSets detect() noexcept {
  SupportedSets supported;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  const bool avx2 = __builtin_cpu_supports("avx2");  // F16C is older: no CPU has AVX2 without it
  if (avx512 && avx2) supported.add(kAvx512VnniKernels);
  if (avx2) supported.add(kAvx2Kernels);
  supported.add(kSse41Kernels);
  return supported;
}

}  // namespace

std::span<const KernelSet* const> supported_kernel_sets() noexcept {
  static const SupportedSets supported = detect();
  return {supported.sets.data(), supported.n};
}

const KernelSet& best_kernel_set() noexcept {
  return *supported_kernel_sets().front();
}

}  // namespace tandem::cpu
