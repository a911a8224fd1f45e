#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Devices that units may be on: the CPU, and the GPU if one is named.
struct Devices {
  std::optional<Device> gpu = Device::cuda0;

  bool operator==(const Devices&) const = default;
};

/// "auto" and "cpu,cuda" (or "cuda") are the CPU and cuda0, "cpu,emulated" (or "emulated") the CPU and
/// emulated0, "cpu" is the CPU alone.  Throws BadQuestion.
Devices parse_devices(std::string_view text);

/// Ranges of what may be asked; sequences * (draft_rows + 1) is at most micro_batch.
inline constexpr std::uint64_t kMaxContext = (std::uint64_t{1} << 31) - 1;
inline constexpr std::uint32_t kMaxSequences = 4096;
inline constexpr std::uint32_t kMaxMicroBatch = 65535;  ///< a GPU's grid has no more blocks one below another
inline constexpr std::uint32_t kMaxDraftRows = 64;

/// The workload taken where nothing is asked: context min(the model's, 8192), else as Workload says.
Workload default_workload(const model::Hyperparameters& hyper);

/// What is planned where `requested` is asked for: with numbers for what was left open.  For units on the CPU
/// and on `gpu`.
Workload effective_workload(const ModelInput& model, const Workload& requested, const MachineProfile& machine,
                            std::optional<Device> gpu);

/// Plans `model` on `devices` within `budget`.  A pure function: no device, no file, no clock.
/// The plan is complete also where it does not fit; then `fits` is false, the shortfalls say by how many
/// bytes and `largest_context` is the largest context that would fit with all else as asked (nothing if none
/// does). Nothing asked for is changed, except that an expected context of 0 becomes a quarter of the
/// context, stream_rows become where streaming pays, or 0 where some FFN half cannot be on a GPU, and a head
/// type asked for a head that is quantised already becomes `keep`. Throws BadQuestion for numbers out of
/// range.
Plan make_plan(const ModelInput& model, const Budget& budget, const Workload& requested,
               const MachineProfile& machine, Devices devices);

/// Whether some placement fits: sooner said than which of them is the fastest.  Throws as make_plan.
bool some_plan_fits(const ModelInput& model, const Budget& budget, const Workload& requested,
                    const MachineProfile& machine, Devices devices);

/// As make_plan, but without `largest_context` and `reasons`: what a search over many questions asks.
Plan make_bare_plan(const ModelInput& model, const Budget& budget, const Workload& requested,
                    const MachineProfile& machine, Devices devices);

/// The plan of a given placement: all of it but `largest_context` and `reasons`.  The workload is taken as it
/// is, in range.
Plan plan_for_placement(const ModelInput& file, const Budget& budget, const Workload& requested,
                        const MachineProfile& machine, const Placement& placement);

}  // namespace tandem::planner
