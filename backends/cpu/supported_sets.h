#pragma once

#include <array>
#include <cstddef>

#include "backends/cpu/kernel_set.h"

namespace tandem::cpu {

/// Kernel sets that a machine can run, the most capable first.
class SupportedSets {
 public:
  void add(const KernelSet& set) noexcept { sets_.at(n_++) = &set; }
  [[nodiscard]] std::span<const KernelSet* const> all() const noexcept { return {sets_.data(), n_}; }

 private:
  std::array<const KernelSet*, 6> sets_{};
  std::size_t n_ = 0;
};

/// Adds the sets of this processor's architecture that it can run: one definition for each architecture.
void add_sets_of_architecture(SupportedSets& supported) noexcept;

}  // namespace tandem::cpu
