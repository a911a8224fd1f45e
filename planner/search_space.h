#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "planner/cost.h"
#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Sides of a search, as indices: a placement has one CPU and one GPU.
inline constexpr std::size_t kOnCpu = 0;
inline constexpr std::size_t kOnGpu = 1;

/// What one unit adds where it is put.  Bytes are exact sums: alignment is in, except of draft rows.
struct UnitBytes {
  UnitRef unit;
  std::uint32_t sort = 0;          ///< index into the sorts of units that need the same buffers
  std::uint64_t vram_bytes = 0;    ///< on the GPU, draft rows included
  std::uint64_t ram_bytes = 0;     ///< on the CPU
  std::uint64_t drafts_bytes = 0;  ///< on the CPU: draft rows, where their sum is not aligned by itself
};

/// One way to share out the buffers that are as large as their largest user.  Which sorts of units may be on
/// which device is given, so every buffer is; what is left are limits to sums over units.  A placement is in
/// every case that allows it, and takes as many bytes there as it really does in the tightest.
struct SearchCase {
  std::size_t head = kOnCpu;
  std::vector<std::array<bool, 2>> allowed;  ///< by sort: on the CPU, on the GPU
  std::uint64_t vram_limit_bytes = 0;        ///< of the sum of vram_bytes
  std::uint64_t ram_fixed_bytes = 0;         ///< RAM beyond the sums of ram_bytes, and drafts_bytes aligned
  bool needs_gpu =
      false;  ///< RAM holds only where some unit is on the GPU, so that others are streamed there

  [[nodiscard]] bool allows(const UnitBytes& unit, std::size_t side) const {
    return allowed[unit.sort][side];
  }
};

/// What placements of a model are chosen from.
struct SearchSpace {
  Device gpu = Device::cuda0;
  std::vector<UnitBytes> units;  ///< attention and FFN halves in the order they run
  std::vector<SearchCase> cases;
  std::vector<Placement> few_crossings;  ///< that need fewer than both directions of transfer buffers, or no
                                         ///< GPU: in no case, and so few that they are tried one by one
  std::uint64_t ram_budget_bytes = 0;
  bool tied = true;          ///< the embedding is where the head is, else on the CPU
  bool ram_may_bind = true;  ///< some placement takes more than the budget
  bool exact = true;  ///< false where a model has too many sorts of units: buffers are then as large as
                      ///< the largest of all

  [[nodiscard]] std::size_t embedding(std::size_t head) const noexcept { return tied ? head : kOnCpu; }
};

/// `head` restricts where the head may be.
SearchSpace search_space(const ModelInput& model, const Budget& budget, const Workload& workload,
                         const MachineProfile& machine, Device gpu, std::optional<Device> head);

/// The placement that puts unit i on `sides[i]`.
Placement placement_of(const SearchSpace& space, std::size_t head, const std::vector<std::uint8_t>& sides);

/// Times of one step, by side.
struct StepCosts {
  std::vector<std::array<Picoseconds, 2>> unit_ps;  ///< as SearchSpace::units
  std::array<Picoseconds, 2> head_ps{};
  std::array<Picoseconds, 2> stage_ps{};
  Picoseconds crossing_ps = 0;
  StepTime always;         ///< beside all that, wherever units are
  bool needs_gpu = false;  ///< hold only where some unit is on the GPU

  /// Adds every time of `other`.
  void add(const StepCosts& other);
};

/// Of a step, or of one part of `parts` of it, every time rounded down.
StepCosts step_costs(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                     Device gpu, StepShape step, Picoseconds parts = 1);

/// Of a step of prefill_step in which all FFN halves of the CPU are streamed, with the head on `head`, or of
/// a part of it as above.  Every FFN half is computed on the GPU, so each attention half comes from there and
/// goes back: stages and crossings are in the units' own times.
StepCosts streamed_costs(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                         Device gpu, std::size_t head, Picoseconds parts = 1);

}  // namespace tandem::planner
