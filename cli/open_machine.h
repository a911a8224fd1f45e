#pragma once

#include <string>

#include "planner/machine.h"

namespace tandem::cli {

/// What stands for the machine that the program runs on.
inline constexpr const char* kThisMachine = "auto";

/// The profile called `name`; a file, where `name` has a slash or ends in ".json"; for "auto" what was
/// measured of this machine, or the built-in `default` where nobody measured it.  Throws BadProfile.
planner::MachineProfile open_machine(const std::string& name);

}  // namespace tandem::cli
