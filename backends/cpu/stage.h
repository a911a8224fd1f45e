#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "backends/device.h"

namespace tandem::cpu {

/// A stage on the CPU.  Scratch, weights, caches and the team belong to the caller and outlive the stage;
/// stages that share a scratch or a team must not step at the same time. Throws std::invalid_argument if a
/// unit is not what this backend can run: an unknown block type, shapes that do not fit each other, head_dim
/// odd or over kMaxHeadDim, KvLayout::vector_rotated.
std::unique_ptr<device::Stage> make_stage(const std::vector<device::Unit>& units,
                                          const device::StageShape& shape, const device::Scratch& scratch,
                                          Team& team, const KernelSet& kernels = best_kernel_set());

/// Embedding and head on the CPU, either of which may be absent (its matrix null); uses `normed` and
/// `quantised` of the scratch.  Throws as make_stage.
std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                   const device::Head& head, const device::StageShape& shape,
                                                   const device::Scratch& scratch, Team& team,
                                                   const KernelSet& kernels = best_kernel_set());

}  // namespace tandem::cpu
