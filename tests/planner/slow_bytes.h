#pragma once

#include <cstdint>
#include <map>
#include <utility>

#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner_test {

/// Bytes by device and purpose.
using SlowBytes = std::map<std::pair<planner::Device, planner::Purpose>, std::uint64_t>;

/// The arenas of a placement, counted the slow way and independently of the planner's code: from the tensor
/// directory (widths are read off tensor shapes), and by filling every KV cell and touching every page one by
/// one.  Only layer kinds and windows come from the hyper-parameters.
SlowBytes slow_bytes(const model::Header& header, const model::Hyperparameters& hyper,
                     const planner::Budget& budget, const planner::Workload& workload,
                     std::uint64_t driver_bytes, const planner::Placement& placement);

/// Sum over all purposes: of the CPU, or of all other devices.
std::uint64_t slow_ram(const SlowBytes& bytes);
std::uint64_t slow_vram(const SlowBytes& bytes);

}  // namespace tandem::planner_test
