#pragma once

#include <memory>

#include "backends/device.h"
#include "daemon/calibration/calibrate.h"
#include "daemon/config.h"
#include "planner/make_plan.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// What plans may use, by `devices` in the configuration, this build and this machine; what became of `auto`
/// is in the log.  Throws BadConfig if a GPU is asked for and there is none.
planner::Devices usable_devices(const Config& config);

/// The device that `plan` calls its GPU; null if all of it is on the CPU.  An emulated one has as much
/// memory as the configuration says, or the plan's budget.  Throws planner::BadPlan if there is none,
/// std::runtime_error if it cannot be used.
std::unique_ptr<device::Accelerator> open_accelerator(const Config& config, const planner::Plan& plan);

/// The first GPU of this machine, new, to be measured; a null device if there is none or `devices` leaves it
/// out.  Throws std::runtime_error if it cannot be used.
calibration::GpuToMeasure gpu_to_measure(const Config& config);

/// An emulated device if `devices` has one, with work that ends in seconds; what it says is of no use but to
/// tests.  Else as gpu_to_measure.
calibration::GpuToMeasure device_to_measure(const Config& config);

}  // namespace tandem::daemon
