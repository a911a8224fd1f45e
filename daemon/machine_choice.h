#pragma once

#include <cstdint>

#include "daemon/config.h"
#include "planner/machine.h"

namespace tandem::daemon {

/// The profile that plans count with: what was measured of this machine before; else, unless the
/// configuration says no, what is measured now for some seconds, kept for the next start; else the built-in
/// `default`.  What happened is in the log.  Throws planner::BadProfile where a profile was measured, is
/// damaged and may not be measured again.
planner::MachineProfile choose_machine(const Config& config);

/// Threads of the CPU's team: as the configuration says; else one for each core, or for each of one socket
/// where this machine was measured to read memory no faster across sockets.
std::uint32_t team_threads(const Config& config);

/// Measures the machine with the configuration's threads and devices and prints the profile as JSON on
/// stdout; progress goes to stderr.  What `tandem calibrate` runs.
void print_calibration(const Config& config, bool quick);

/// Measures how fast `threads` threads (0: one for each core) read memory and prints it on stdout:
/// `{"threads": 4, "gb_per_s": 61.5}`.
void print_memory_speed(std::uint32_t threads);

}  // namespace tandem::daemon
