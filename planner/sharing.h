#pragma once

#include <cstdint>
#include <optional>

#include "planner/cost.h"

namespace tandem::planner {

/// FFN halves that both devices compute at once: rows 0 to gpu_rows of gate, up and down's inputs on the GPU,
/// the others on the CPU.  Reckoned, never planned: no engine here executes it.
struct SharedFfn {
  std::uint32_t gpu_rows = 0;  ///< of each FFN half, a multiple of kSharedRows
  Picoseconds time_ps = 0;     ///< of a decode step
};

inline constexpr std::uint32_t kSharedRows = 256;

/// All FFN halves shared at the share at which both devices finish together, or the nearest to it that fits
/// both budgets; attention, KV and the head on `gpu`.  Each half takes the slower side's time and two
/// crossings: the normalised rows out, the sums back.  Nothing where all fits on the GPU, or where attention
/// does not, or which cannot run everything.
std::optional<SharedFfn> shared_ffn(const ModelInput& model, const Budget& budget, const Workload& workload,
                                    const MachineProfile& machine, Device gpu);

}  // namespace tandem::planner
