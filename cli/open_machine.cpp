#include "cli/open_machine.h"

#include "hardware/profile_cache.h"

namespace tandem::cli {

planner::MachineProfile open_machine(const std::string& name) {
  if (name == kThisMachine) {
    const auto measured = hardware::find_profile(hardware::this_machine(0), hardware::cache_folders());
    return measured ? measured->machine : planner::builtin_machine("default");
  }
  const bool is_file = name.find('/') != std::string::npos || name.ends_with(".json");
  return is_file ? hardware::read_profile(name) : planner::builtin_machine(name);
}

}  // namespace tandem::cli
