#pragma once

#include <string>
#include <vector>

#include "daemon/calibration/cpu_attention.h"
#include "daemon/calibration/cpu_overhead.h"
#include "daemon/calibration/memory_speed.h"
#include "daemon/calibration/pace.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// What was measured of the processor and its memory.  A number that there was no time for is 0, a list ends
/// where time did.
struct CpuSpeed {
  unsigned threads = 0;
  std::string kernels;  ///< name of the kernel set
  std::vector<ReadSpeed> reads;
  std::vector<NodeSpeed> nodes;
  std::vector<planner::TypeRates> types;  ///< repacked where they can be
  double mapped_slowdown = 0;             ///< of the first of cpu_types
  AttentionRates attention;
  planner::ElementRates elems;
  StepOverhead overhead;
};

/// Measures with a team of `threads` pinned threads; 0: `team_size`.
CpuSpeed measure_cpu(Pace& pace, unsigned threads);

/// How fast as many threads read memory that no cache holds.
ReadSpeed measure_memory(Pace& pace, unsigned threads);

}  // namespace tandem::calibration
