#pragma once

#include <cstdint>

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// What one step computes: `rows` tokens of one sequence, the last of them at position context - 1.
struct StepShape {
  std::uint64_t rows = 1;
  std::uint64_t context = 1;
};

/// Time of `unit` on `device`: the larger of bytes over bandwidth and operations over throughput, and the
/// device's cost of a unit.
///  - bytes: the unit's tensors once, and for attention the KV rows it sees (min(context, window) of them);
///  - operations: 2 for each weight and row; attention 4 * heads * head_dim for each key that a row sees, of
///    which a prompt row sees half the context on average, and never more than the window.
double unit_us(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device device,
               UnitRef unit, StepShape step);

/// Time of passing `rows` rows to the other device.
double crossing_us(const ModelInput& model, const MachineProfile& machine, std::uint64_t rows);

/// The serial bound of one step (design.md): every unit in turn, and the crossings between them.
double step_us(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
               const Placement& placement, StepShape step);

/// decode: one sequence alone at the expected context.  prefill: a chunk of micro_batch rows halfway through
/// a prompt of the expected context, each unit computed where it is placed.
Predicted predict(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                  const Placement& placement);

}  // namespace tandem::planner
