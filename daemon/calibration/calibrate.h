#pragma once

#include <memory>
#include <string>

#include "backends/device.h"
#include "daemon/calibration/accelerator_speed.h"
#include "daemon/calibration/pace.h"
#include "hardware/fingerprint.h"

namespace tandem::calibration {

/// A device to be measured, new, and with what; a null device is none.
struct GpuToMeasure {
  std::unique_ptr<device::Accelerator> device;
  AcceleratorWork work;
};

/// Measures this machine with the threads of `fingerprint` and returns a profile as JSON (profile_json.h).
/// Nothing of a model is run: kernels work on made-up matrices of real shapes.  A GPU has the first part of
/// the time.  The CPU is measured once more where the profile would be none (usable_profile).  Throws Error,
/// and std::runtime_error if the GPU fails.
std::string calibrate(const Effort& effort, const hardware::Fingerprint& fingerprint,
                      const Progress& progress, const GpuToMeasure& gpu);

}  // namespace tandem::calibration
