#pragma once

#include <string>
#include <vector>

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// A placement made by a rule of thumb.
struct RuledPlacement {
  std::string rule;  ///< "whole layers, the last ones first"
  Placement placement;
};

/// What other engines do, for comparison: the GPU is filled with the head and then whole layers from the last
/// one, attention halves first, or FFN halves first; each takes every unit that still fits at its turn.  Only
/// placements within the RAM budget.
std::vector<RuledPlacement> rules_of_thumb(const ModelInput& model, const Budget& budget,
                                           const Workload& workload, const MachineProfile& machine,
                                           Device gpu);

}  // namespace tandem::planner
