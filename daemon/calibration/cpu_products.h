#pragma once

#include <optional>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"
#include "daemon/calibration/weight_block.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// Element types that the CPU multiplies, those of common files first.
std::vector<model::TensorType> cpu_types();

/// Rates of the products of an FFN half of `shape` in one element type: read rates from steps that go through
/// all of `block`, throughput from one of many rows; the time of inputs and outputs by `elems` taken off.
/// Nothing where no half of this type fits into the block.
std::optional<planner::TypeRates> product_rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                                const WeightBlock& block, const FfnShape& shape,
                                                model::TensorType type, const planner::ElementRates& elems);

}  // namespace tandem::calibration
