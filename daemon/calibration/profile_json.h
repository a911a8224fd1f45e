#pragma once

#include <string>

#include "daemon/calibration/cpu_speed.h"
#include "hardware/fingerprint.h"

namespace tandem::calibration {

/// How a profile came about.
struct Occasion {
  hardware::Fingerprint fingerprint;
  std::string utc;  ///< "2026-11-21T08:00:00Z"
  double took_s = 0;
};

/// Profile JSON as planner/machine.h reads it, every number with its source.  Its "measured" object has the
/// occasion, and the reading speeds by threads and by NUMA node.  Rates of a GPU are those of the built-in
/// profile `default`, and say so.  Throws Error where what a profile needs was not measured.
std::string profile_json(const CpuSpeed& cpu, const Occasion& occasion);

}  // namespace tandem::calibration
