#pragma once

#include <memory>

#include "backends/device.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// The device that `plan` calls its GPU; null if all of it is on the CPU, or if this build has no such
/// device.  An emulated one has as much memory as the plan's budget.  Throws std::runtime_error if it cannot
/// be used.
std::unique_ptr<device::Accelerator> open_accelerator(const planner::Plan& plan);

}  // namespace tandem::daemon
