#pragma once

#include <memory>

#include "backends/device.h"
#include "daemon/config.h"
#include "model/error.h"
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

/// Chooses the plan, opens its GPU and holds the one against the other, before anything is allocated: a plan
/// of one's own counts the driver's line as it is measured there; one that takes more VRAM than is free is
/// refused or made again, as the configuration says.  The log tells what was chosen and why.  Throws
/// DoesNotFit, and what choose_plan and open_accelerator throw.
Start choose_start(const Config& config, const planner::ModelInput& model);

}  // namespace tandem::daemon
