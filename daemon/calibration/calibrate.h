#pragma once

#include <string>

#include "backends/device.h"
#include "daemon/calibration/pace.h"
#include "hardware/fingerprint.h"

namespace tandem::calibration {

/// Measures this machine with the threads of `fingerprint` and returns a profile as JSON (profile_json.h).
/// Nothing of a model is run: kernels work on made-up matrices of real shapes.  `gpu` is a new one, never an
/// emulated one; null where there is none.  Throws Error, and std::runtime_error if the GPU fails.
std::string calibrate(const Effort& effort, const hardware::Fingerprint& fingerprint,
                      const Progress& progress, device::Accelerator* gpu = nullptr);

}  // namespace tandem::calibration
