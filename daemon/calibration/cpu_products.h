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
/// Matrices are repacked where their shape allows it.  Nothing where no half of this type fits into the
/// block.
std::optional<planner::TypeRates> product_rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                                const WeightBlock& block, const FfnShape& shape,
                                                model::TensorType type, const planner::ElementRates& elems);

/// Times as long that a step of one row takes where weights of a block type lie in `mapped` row after row, as
/// in a file, as where they lie in `block` repacked; at least 1, and 0 where no half of this type fits into
/// either.
double mapped_slowdown(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const WeightBlock& mapped,
                       const WeightBlock& block, const FfnShape& shape, model::TensorType type);

}  // namespace tandem::calibration
