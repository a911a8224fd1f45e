#pragma once

#include <string>

#include "planner/machine.h"

namespace tandem::cli {

/// The profile called `name`; a file, where `name` has a slash or ends in ".json".  Throws BadProfile.
planner::MachineProfile open_machine(const std::string& name);

}  // namespace tandem::cli
