#pragma once

#include <cstdint>
#include <vector>

#include "planner/batch_rows.h"
#include "planner/byte_count.h"
#include "planner/cost.h"

namespace tandem::planner {

// Prompts for which FFN halves that are on the CPU are computed on the GPU: their matrices pass through the
// pinned buffer that weights were loaded through and two VRAM buffers, and while one is computed with the
// next one is on its way.  Attention halves stay where they are: they are computed where their KV is.

/// Each of the two VRAM buffers: the largest matrix of any FFN half, wherever that is, and a norm beside it.
ByteCount stream_buffer_bytes(const ModelInput& model);

/// Rows of a chunk from which streaming is as fast as the CPU: the profile's stream_rows; where it has none,
/// by the largest FFN half, crossing to the GPU and back included.  0 where no chunk has that many.
std::uint32_t paying_stream_rows(const ModelInput& model, const Workload& workload,
                                 const MachineProfile& machine, Device gpu);

/// The FFN halves that are streamed in chunks of stream_rows rows and more: all that are on the CPU, where
/// some chunk may have them and some unit is on a GPU.
std::vector<UnitRef> streamed_units(const Workload& workload, const Placement& placement);

std::vector<UnitRef> streamed_units(const Plan& plan);

/// Bytes of the pinned buffer that weights go to the GPU of `plan` through (planner/activations.h).
std::uint64_t load_buffer_bytes(const Plan& plan, const ModelInput& model);

/// Where units are computed in such chunks.
Placement computed_at(const Workload& workload, const Placement& placement);

/// Rows that cross at once, by direction: at most `in_place_rows` in steps of which nothing is streamed, and
/// `streamed_rows` in others; 0 where none do.
Directions<std::uint32_t> crossing_rows(const Workload& workload, const Placement& placement,
                                        Device embedding_device, std::uint32_t in_place_rows,
                                        std::uint32_t streamed_rows);

/// The most that do.
Directions<std::uint32_t> most_crossing_rows(const Workload& workload, const Placement& placement,
                                             Device embedding_device);

/// The most rows of what `device` is given at once by `plan`.
RowCounts most_rows(const Plan& plan, Device device);

/// A step of prefill_step is a chunk that is.
bool streams_prefill_step(const Workload& workload) noexcept;

/// Time of a streamed FFN half: the longer of its work on `gpu` and its transfer.
Picoseconds streamed_ps(const ModelInput& model, KvType kv_type, const MachineProfile& machine, Device gpu,
                        std::uint32_t layer, StepShape step);

/// A step of prefill_step: serial, with streamed halves if it has stream_rows rows.  Or one part of `parts`
/// of it, as step_time has it.
Picoseconds prefill_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                       const Placement& placement, Picoseconds parts = 1);

}  // namespace tandem::planner
