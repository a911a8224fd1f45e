#pragma once

#include <string>

#include "daemon/calibration/pace.h"
#include "hardware/fingerprint.h"

namespace tandem::calibration {

/// Measures this machine with the threads of `fingerprint` and returns a profile as JSON (profile_json.h).
/// Nothing of a model is run: kernels work on made-up matrices of real shapes.  Throws Error.
std::string calibrate(const Effort& effort, const hardware::Fingerprint& fingerprint,
                      const Progress& progress);

}  // namespace tandem::calibration
