#pragma once

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// What steps cost beside what rates say of their operations.
struct StepOverhead {
  double unit_us = 0;            ///< a unit's barriers and claims, and what else its first row takes
  double unit_few_rows_us = 0;   ///< each further row of 8
  double unit_many_rows_us = 0;  ///< each row beyond
  double stage_us = 0;           ///< waking the team and putting it to rest
};

/// Measures steps through small units, of which `rates`, a profile without such costs, explains the least,
/// and through units with next to nothing to do: none costs less.
StepOverhead step_overhead(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                           const planner::MachineProfile& rates);

}  // namespace tandem::calibration
