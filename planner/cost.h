#pragma once

#include <cstdint>

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Modelled time.  Integers, so that sums do not depend on their order and ties are ties.
using Picoseconds = std::uint64_t;

/// No unit takes longer in the model: sums over thousands of units stay below 2^64.
inline constexpr Picoseconds kMaxUnitPs = 1'000'000'000'000'000;

inline double milliseconds(Picoseconds time) noexcept {
  return static_cast<double>(time) / 1e9;
}

/// What one step computes: `rows` tokens of each of `sequences`, the last of them at position context - 1.
struct StepShape {
  std::uint64_t rows = 1;
  std::uint64_t context = 1;
  std::uint64_t sequences = 1;
};

/// One token of one sequence at the workload's expected context.
StepShape decode_step(const Workload& workload) noexcept;

/// A chunk of at most micro_batch rows halfway through a prompt of the expected context.
StepShape prefill_step(const Workload& workload) noexcept;

/// Time of `unit` on `device`: that of its operations one after another, and the device's cost of a unit,
/// which is gpu_launch_us, or cpu_unit_us and what its rows add to it.  An operation takes the larger of
/// bytes over bandwidth and operations over throughput:
///  - matrices and vectors, by element type: bytes once a step; 2 operations for each weight and row.  A type
///    with rates of its own reads at the rate measured for the step's rows, between two of them in
///    proportion, and beyond 8 rows as the slower of the rate at 8 and its throughput.  Bytes of quantised
///    types that the CPU has as they are in the file count cpu_mapped_slowdown times;
///  - attention: the KV rows that are seen (those of sliding layers end at the window); 4 * heads * head_dim
///    operations for each row and each key it sees.  On a CPU whose threads are known it is the sum of both
///    and of a score for each head, row and key, KV rows count as often as tiles of queries load them, and
///    all threads wait for the one with most tiles (planner/attention_tiles.h).  Where all weights and the KV
///    of a step fit in the CPU's cache, KV comes from there;
///  - on a CPU whose cpu_elems are known: every element of a row beside its products (planner/row_work.h).
/// On a CPU the head, and the embedding that is the same matrix, begin like stages of their own
/// (cpu_stage_us). A prompt's chunk has one row that matters to the head: the one whose next token is wanted.
Picoseconds unit_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device device,
                    UnitRef unit, StepShape step);

/// What of that is attention itself, were the layer's KV kept in `layout`.  A CPU reads rows of which no key
/// is derived at cpu_attention_gb_per_s; that is the most that `vector_rotated` could reach.
Picoseconds attention_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
                         Device device, std::uint32_t layer, KvLayout layout, StepShape step);

/// Time of passing a step's rows, (rows, width) floats, to the other device: crossing_us and their bytes over
/// pcie_gb_per_s.
Picoseconds crossing_ps(const ModelInput& model, const MachineProfile& machine, StepShape step);

/// Time in which `bytes` of pinned memory reach the GPU: bytes over pcie_gb_per_s.
Picoseconds transfer_ps(const MachineProfile& machine, std::uint64_t bytes);

/// Time of entering a stage on `device`: cpu_stage_us or gpu_stage_us.
Picoseconds stage_ps(const MachineProfile& machine, Device device);

/// Where the time of a step goes.
struct StepTime {
  Picoseconds cpu_ps = 0;
  Picoseconds gpu_ps = 0;
  Picoseconds crossing_ps = 0;  ///< both devices wait, or work for others

  /// The devices take turns (design.md, serial bound).
  [[nodiscard]] Picoseconds serial_ps() const noexcept { return cpu_ps + gpu_ps + crossing_ps; }

  /// Two such steps, of different sequences, at once: no sooner than the busier device has done both, or than
  /// one has gone all the way.
  [[nodiscard]] Picoseconds overlapped_ps() const noexcept;

  bool operator==(const StepTime&) const = default;
};

/// Of a step, or of one part of `parts` of it, every unit's, stage's and crossing's rounded down.
StepTime step_time(const ModelInput& model, KvType kv_type, const MachineProfile& machine,
                   const Placement& placement, StepShape step, Picoseconds parts = 1);

/// One token of all sequences: together in one step, or as two micro-batches of half of them that overlap,
/// whichever is shorter.
Picoseconds all_sequences_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                             const Placement& placement);

/// `decode` and `prefill` are serial: a step of decode_step, each unit computed where it is placed, and
/// prefill_ps (planner/streaming.h); `throughput` is that of all_sequences_ps; `ideal` counts the bytes of a
/// decode step over each device's bandwidth and nothing else.
Predicted predict(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                  const Placement& placement);

}  // namespace tandem::planner
