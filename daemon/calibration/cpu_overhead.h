#pragma once

#include <cstddef>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// What steps cost where there is next to nothing to do.
struct IdleStep {
  double stage_us = 0;  ///< less its units
  double unit_us = 0;   ///< with its share of the stage, a small one: never 0, as differences of times may be
};

/// By samples of steps through one layer, two units, and through `layers` of them.  What holds a step up, as
/// a host that gives its cores to somebody else, only adds to it: the shortest sample of each counts, no step
/// of one layer is longer than one of all, and no layer of many longer than that of one.
IdleStep idle_step_of(const std::vector<double>& one_us, const std::vector<double>& all_us,
                      std::size_t layers);

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
