#pragma once

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "daemon/calibration/weight_block.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// Measures what rows of activations take beside the arithmetic of matrices (planner/row_work.h): the stage's
/// own kernels over rows as wide as those of a 12B model, shared out as a stage does.  Each is taken together
/// with writing what it reads, and the writing taken off, so that it finds its rows where another thread left
/// them.  `block` gives the matrices.
planner::ElementRates element_rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                    const WeightBlock& block);

}  // namespace tandem::calibration
