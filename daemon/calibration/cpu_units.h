#pragma once

#include <cstdint>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "daemon/calibration/synthetic_unit.h"

namespace tandem::calibration {

/// Seconds of a step of `rows` rows that ends at `context`, in `halves` attention halves that are nothing but
/// attention, each with KV of its own: the same step at the start of a sequence is taken off.
double attention_s(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                   const AttentionShape& shape, std::uint32_t rows, std::uint64_t context,
                   std::size_t halves);

/// What a step costs beside its arithmetic.
struct StepOverhead {
  double unit_us = 0;   ///< a unit's barriers and claims
  double stage_us = 0;  ///< waking the team and putting it to rest
};
StepOverhead step_overhead(const Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels);

}  // namespace tandem::calibration
