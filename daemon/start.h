#pragma once

#include "daemon/config.h"
#include "daemon/measured_start.h"
#include "planner/model_input.h"

namespace tandem::daemon {

/// Chooses the plan, opens its GPU and holds the one against the other, before anything is allocated
/// (daemon/measured_start.h).  A kept plan that takes more RAM than there is is refused.  The log tells what
/// was chosen and why.  Throws DoesNotFit, and what choose_plan and open_accelerator throw.
Start choose_start(const Config& config, const planner::ModelInput& model);

}  // namespace tandem::daemon
