#pragma once

#include <string>

namespace tandem::planner {

/// The machines that can be named, for a terminal of 80 columns: whole profiles, cards and processors with
/// the rates of their specifications.  ASCII.
std::string machine_table();

/// The same as JSON, ends with a newline: `{"schema": "tandem.machines/1", "profiles", "gpus", "cpus"}`.
std::string machines_to_text();

}  // namespace tandem::planner
