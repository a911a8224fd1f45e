#pragma once

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"

namespace tandem::calibration {

/// What a CPU's attention takes time for (planner/cost.h).  A number that could not be told from the others
/// is 0.
struct AttentionRates {
  double gb_per_s = 0;         ///< KV rows loaded by tiles
  double vector_gb_per_s = 0;  ///< those of one vector that makes K and V
  double tops = 0;
  double scores_g_per_s = 0;
};

/// Measures attention over `kv_bytes` of KV, more than caches hold.
AttentionRates attention_rates(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                               std::size_t kv_bytes);

}  // namespace tandem::calibration
