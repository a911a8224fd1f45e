#pragma once

#include <functional>
#include <string>

#include "daemon/config.h"
#include "memory/vram_at_start.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// The plan to execute: the configured file's, as it is; or the planner's for `devices` of `machine`, which
/// are asked for then only, with a budget no larger than what is free now (every cut is a line in `reasons`).
/// Throws planner::BadPlan, planner::BadQuestion, BadConfig.
planner::Plan choose_plan(const Config& config, const planner::ModelInput& model,
                          const std::function<planner::Devices()>& devices,
                          const std::function<planner::MachineProfile()>& machine);

/// `plan` made again for the same question within `budget`.  `why` goes before its reasons.
planner::Plan planned_again(const planner::Plan& plan, const planner::Budget& budget, const std::string& why,
                            const planner::ModelInput& model, const planner::MachineProfile& machine);

/// `budget` with no more VRAM than there is: what the driver took and what is free.
planner::Budget cut_to_vram(planner::Budget budget, const memory::VramAtStart& vram) noexcept;

/// What the machine could give right now.
struct FreeMemory {
  std::uint64_t ram_bytes = 0;
};

/// `budget` cut to `free`; a line in `reasons` for each cut.
planner::Budget cut_to_free(planner::Budget budget, const FreeMemory& free,
                            std::vector<std::string>& reasons);

}  // namespace tandem::daemon
