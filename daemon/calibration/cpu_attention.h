#pragma once

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/cpu_units.h"
#include "daemon/calibration/pace.h"

namespace tandem::calibration {

/// What a CPU's attention takes time for (planner/cost.h).  A number that could not be told from the others
/// is 0.
struct AttentionRates {
  double gb_per_s = 0;         ///< KV rows loaded by tiles
  double vector_gb_per_s = 0;  ///< those of one vector that makes K and V
  double tops = 0;
  double scores_g_per_s = 0;
  double cached_gb_per_s = 0;         ///< as gb_per_s, from caches
  double cached_vector_gb_per_s = 0;  ///< as vector_gb_per_s, from caches
};

/// Measures attention over KV that it holds.
class AttentionProbe {
 public:
  /// `kv_bytes` are more than caches hold.
  explicit AttentionProbe(std::size_t kv_bytes);

  AttentionRates rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels) const;

 private:
  AttentionHalves wide_;
  AttentionHalves narrow_;
  AttentionHalves vector_;
};

}  // namespace tandem::calibration
