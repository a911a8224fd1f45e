#pragma once

#include <string>
#include <vector>

#include "planner/make_plan.h"
#include "planner/optimum.h"

namespace tandem::planner {

/// What a plan was chosen from and what would change it.
struct Considered {
  const ModelInput& file;  ///< as the file has it
  const Plan& plan;
  const Choice& choice;
  const MachineProfile& machine;
  Devices devices;
};

/// "12.3 ms a token": the time that was to be short.
std::string objective_text(const Workload& workload, Picoseconds time);

/// Other placements of the same workload in the same budgets, the fastest first, a line each: the head on the
/// other device, and rules of thumb.  At most three.
std::vector<std::string> runner_up_lines(const Considered& considered);

/// What the same objective would come to with one thing changed, a line each: a GiB of VRAM more, another KV
/// type, a smaller micro-batch, one sequence, another head type.  Only what makes a difference of a hundredth
/// or more, or makes it fit.
std::vector<std::string> what_if_lines(const Considered& considered);

/// What this version cannot execute yet but can reckon: FFN halves shared by both devices; a line where it
/// would help.
std::vector<std::string> not_yet_lines(const Considered& considered);

}  // namespace tandem::planner
