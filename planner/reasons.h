#pragma once

#include <string>
#include <vector>

#include "planner/make_plan.h"
#include "planner/place.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Why the plan is as it is, a line each: what limits it, what was left out, every difference between asked
/// and planned, what the file lacks, what was assumed.  `candidates` is place()'s answer, the chosen one
/// first.
std::vector<std::string> reasons_of(const Plan& plan, const ModelInput& model, const MachineProfile& machine,
                                    const std::vector<Candidate>& candidates, Devices devices);

}  // namespace tandem::planner
