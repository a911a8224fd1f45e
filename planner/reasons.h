#pragma once

#include <string>
#include <vector>

#include "planner/make_plan.h"
#include "planner/optimum.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Why the plan is as it is, a line each: what limits it, what was left out and how fast that would be, what
/// each option would buy, every difference between asked and planned, what the file lacks, what was assumed.
/// `choice` is the plan's placement; `file` is the model as its file has it.
std::vector<std::string> reasons_of(const Plan& plan, const Choice& choice, const ModelInput& file,
                                    const MachineProfile& machine, Devices devices);

/// One more where `machine` is to be the one that plans: whose times they are.
std::string times_line(const MachineProfile& machine);

}  // namespace tandem::planner
