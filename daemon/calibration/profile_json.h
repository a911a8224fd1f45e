#pragma once

#include <functional>
#include <string>

#include "daemon/calibration/accelerator_speed.h"
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
/// occasion, the reading speeds by threads and by NUMA node, and those of copies to a GPU and back.  What was
/// not measured of a GPU, or is not to be believed, all of it where there is none, is as in the built-in
/// profile `default`, and says so.  Throws Error where what a profile needs of the CPU was not measured.
std::string profile_json(const CpuSpeed& cpu, const AcceleratorSpeed& gpu, const Occasion& occasion);

/// What `measure` gives, a profile; what it gives the next time if no plan can be counted with that, as where
/// the process stood still while something was timed: rates near 0 are out of range, and units that cost
/// nothing are none.  Throws Error if that is no better.
std::string usable_profile(const std::function<std::string()>& measure);

}  // namespace tandem::calibration
