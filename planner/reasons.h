#pragma once

#include <string>
#include <vector>

#include "planner/make_plan.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Why the plan is as it is, a line each: what limits it, what was left out, every difference between asked
/// and planned, what the file lacks, what was assumed.
std::vector<std::string> reasons_of(const Plan& plan, const ModelInput& model, const MachineProfile& machine,
                                    Devices devices);

}  // namespace tandem::planner
