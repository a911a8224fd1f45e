#pragma once

#include <functional>
#include <memory>

#include "backends/device.h"
#include "daemon/config.h"
#include "daemon/plan_choice.h"
#include "model/error.h"
#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// The plan needs more than its budget, or than there is.
class DoesNotFit : public Error {
 public:
  using Error::Error;
};

/// What the daemon starts with.
struct Start {
  planner::Plan plan;
  std::unique_ptr<device::Accelerator> accelerator;  ///< null in plans of the CPU alone
};

/// `plan`, which the log gets.  Throws DoesNotFit if it does not fit its budget.
planner::Plan fitting(planner::Plan plan);

/// Throws DoesNotFit if `plan`, which somebody made at another time, takes more RAM than there is now.
void check_ram(const planner::Plan& plan, const FreeMemory& free);

/// Holds the plan of `start` against its GPU, which was just opened and of which nothing is taken.  A plan
/// that the daemon made counts the driver's line as it is measured there.  One that takes more VRAM than is
/// free is refused or made again, as the configuration says; then it may do without the GPU, which is closed.
/// The log tells what was measured, and why a plan was made again.  Throws DoesNotFit.
Start measured_start(Start start, const Config& config, const planner::ModelInput& model,
                     const std::function<planner::MachineProfile()>& machine);

}  // namespace tandem::daemon
