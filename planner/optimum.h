#pragma once

#include <cstddef>
#include <optional>

#include "planner/cost.h"
#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// What the workload's `optimise` asks to be short, for one placement:
///  - decode: decode_step, serial;
///  - prefill: prefill_ps, streamed FFN halves computed on the GPU, and a millionth of a decode_step: where
///    streaming makes placements alike, the one that decodes faster;
///  - request: decode_step, and as much of prefill_ps as kPromptTokPerAnswerTok tokens of a prompt take;
///  - throughput: all_sequences_ps;
///  - context: as decode, with max_seq_len tokens in the cache.
Picoseconds objective_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                         const Placement& placement);

/// Parts of a decode_step of which prefill counts one.
inline constexpr Picoseconds kPrefillDecodeParts = 1'000'000;

/// Tokens of a prompt that stand beside one of the answer where requests are what is to be short.
inline constexpr std::uint64_t kPromptTokPerAnswerTok = 8;

/// A placement and its objective_ps.
struct Choice {
  Placement placement;
  Picoseconds time_ps = 0;
  Picoseconds bound_ps = 0;  ///< nothing that fits is faster than this

  /// The search went through to the end, as it does for every model of the catalogue on every machine of
  /// config/machines (bench/results/2026-11-exact-placement.md); kMostLabels is for those that nobody has
  /// met.
  [[nodiscard]] bool proven() const noexcept { return bound_ps == time_ps; }
};

/// Labels that one search may keep (planner/label_search.h).  Where they do not do, the best placement so far
/// is taken, and how far from the best it may be is known.
inline constexpr std::size_t kMostLabels = 20'000'000;

struct SearchLimits {
  std::optional<Device> head = std::nullopt;  ///< where the head must be
  std::size_t most_labels = kMostLabels;
  std::size_t most_counts = 700'000;  ///< of a case at once (planner/count_search.h)
};

/// The fastest placement on the CPU and `gpu` that fits both budgets with every buffer; nothing if none fits.
/// The workload is effective (make_plan).
std::optional<Choice> fastest(const ModelInput& model, const Budget& budget, const Workload& workload,
                              const MachineProfile& machine, Device gpu, const SearchLimits& limits = {});

/// Whether some placement fits both budgets.  Sooner said than which one is the roomiest.
bool some_fits(const ModelInput& model, const Budget& budget, const Workload& workload,
               const MachineProfile& machine, Device gpu);

/// A placement within the VRAM budget that fits the RAM budget too, or else needs the least RAM.
Placement roomiest(const ModelInput& model, const Budget& budget, const Workload& workload,
                   const MachineProfile& machine, Device gpu);

}  // namespace tandem::planner
