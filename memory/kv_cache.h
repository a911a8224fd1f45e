#pragma once

#include "backends/device.h"
#include "memory/arena.h"
#include "planner/plan.h"

namespace tandem::memory {

/// Carves the KV of one layer, for all sequences, out of its device's kv arena: a ring of `kv_cells` rows for
/// each sequence where attention slides, else every page of the pool.  `plan` is checked; `layer` is one of
/// its layers.
device::KvCache take_kv(Arena& arena, const planner::Plan& plan, const planner::LayerPlan& layer);

}  // namespace tandem::memory
