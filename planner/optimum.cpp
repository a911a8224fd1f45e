#include "planner/optimum.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "planner/bound.h"
#include "planner/count_search.h"
#include "planner/few_changes.h"
#include "planner/footprint.h"
#include "planner/label_search.h"
#include "planner/least_ram.h"
#include "planner/search_space.h"
#include "planner/streaming.h"

namespace tandem::planner {
namespace {

/// A step whose time is to be short, and how devices share it.
struct Mode {
  StepShape step;
  Timing timing = Timing::serial;
  bool prefill = false;  ///< and a part of a decode_step
};

/// The objective is the least of these.
std::vector<Mode> modes_of(const Workload& workload) {
  switch (workload.optimise) {
    case Optimise::decode:
      return {{decode_step(workload)}};
    case Optimise::prefill:
      return {{prefill_step(workload), Timing::serial, true}};
    case Optimise::context:
      return {{{1, workload.max_seq_len, 1}}};
    case Optimise::throughput:
      break;
  }
  const auto all = std::uint64_t{workload.sequences};
  const StepShape together{1, workload.expected_context, all};
  if (all == 1) return {{together}};
  return {{together}, {{1, workload.expected_context, (all + 1) / 2}, Timing::overlapped}};
}

/// The fastest placement over all cases and modes.
class Search {
 public:
  Search(const ModelInput& model, const Budget& budget, const Workload& workload,
         const MachineProfile& machine, Device gpu, const SearchLimits& limits)
      : model_(model),
        budget_(budget),
        workload_(workload),
        machine_(machine),
        space_(search_space(model, budget, workload, machine, gpu, limits.head)),
        left_{{kCountsALabel * limits.most_labels, limits.most_labels}, limits.most_labels} {}

  std::optional<Choice> run() {
    if (!space_.exact) bound_ps_ = 0;
    for (const auto& placement : space_.few_crossings) offer(placement);
    for (const auto& mode : modes_of(workload_)) {
      search_mode(costs_of(mode), mode.timing);
    }
    if (best_) best_->bound_ps = std::min(best_->time_ps, bound_ps_);
    return best_;
  }

 private:
  [[nodiscard]] bool fits(const Placement& placement) const {
    const auto bytes = footprint(model_, budget_, workload_, machine_, placement);
    return bytes.vram_bytes <= budget_.vram_bytes && bytes.ram_bytes <= budget_.ram_bytes;
  }

  void offer(const Placement& placement) {
    const auto time_ps = objective_ps(model_, workload_, machine_, placement);
    if ((!best_ || time_ps < best_->time_ps) && fits(placement)) best_ = Choice{placement, time_ps, 0};
  }

  /// By the side of the head.
  [[nodiscard]] std::array<StepCosts, 2> costs_of(const Mode& mode) const {
    const auto plain = step_costs(model_, workload_, machine_, space_.gpu, mode.step);
    std::array both{plain, plain};
    if (!mode.prefill) return both;
    const auto decode = step_costs(model_, workload_, machine_, space_.gpu, decode_step(workload_));
    for (const auto head : {kOnCpu, kOnGpu}) {
      if (streams_prefill_step(workload_))
        both[head] = streamed_costs(model_, workload_, machine_, space_.gpu, head);
      both[head].add_part(decode, kPrefillDecodeParts);
    }
    return both;
  }

  void take(const CaseCosts& costs, const std::vector<std::uint8_t>& sides, Picoseconds time_ps) {
    if (best_ && best_->time_ps <= time_ps) return;
    best_ = Choice{placement_of(space_, costs.within->head, sides), time_ps, 0};
  }

  [[nodiscard]] Picoseconds known_ps() const {
    return best_ ? best_->time_ps : std::numeric_limits<Picoseconds>::max() / 4;
  }

  struct Open {
    CaseCosts costs;
    Bound bound;
    bool done = false;
  };

  /// Cases that may hold something faster than what is known, the most promising first.
  std::vector<Open> open_cases(const std::array<StepCosts, 2>& costs, Timing timing) {
    std::vector<Open> open;
    std::optional<Bound::Prices> prices;  // good for one case, good enough to dismiss another
    for (const auto& within : space_.cases) {
      if (within.ram_fixed_bytes > space_.ram_budget_bytes) continue;
      const CaseCosts in_case{&space_, &within, &costs[within.head], timing};
      if (prices) {
        const Bound quick(in_case, *prices);
        if (is_dismissed(quick)) continue;
      }
      std::vector<std::vector<std::uint8_t>> tried;
      auto bound = Bound::best(in_case, tried);
      prices = bound.prices();
      for (auto& sides : tried) take(in_case, sides, spent_by(in_case, sides).time_ps(timing));
      if (!tried.empty()) improve(in_case, tried.back());
      open.push_back({in_case, std::move(bound)});
    }
    std::ranges::stable_sort(open, {}, [](const Open& entry) { return entry.bound.root(); });
    return open;
  }

  /// Every case with little effort first, as what one finds may dismiss another.
  void search_mode(const std::array<StepCosts, 2>& costs, Timing timing) {
    auto open = open_cases(costs, timing);
    for (auto& entry : open) {
      auto little = kLittle;
      entry.done = search(entry.costs, entry.bound, little);
    }
    search_few_changes_of(open);
    for (auto& entry : open) {
      if (!entry.done) entry.done = search(entry.costs, entry.bound, left_);
    }
    for (const auto& entry : open) {
      if (entry.done || is_dismissed(entry.bound)) continue;
      bound_ps_ = std::min(bound_ps_, static_cast<Picoseconds>(std::max(0.0, entry.bound.root())));
    }
  }

  /// Of what is not done yet, the placements with few changes of side; that may be all that is of interest.
  void search_few_changes_of(std::vector<Open>& open) {
    for (const auto& entry : open) {
      if (!entry.done && !is_dismissed(entry.bound))
        take(entry.costs, search_few_changes(entry.costs, entry.bound, known_ps()));
    }
    for (auto& entry : open) {
      entry.done =
          entry.done || is_dismissed(entry.bound) || is_dismissed(bound_beyond_few_changes(entry.costs));
    }
  }

  /// What is left to spend.
  struct Effort {
    CountLimits counts;
    std::size_t labels = 0;
  };

  /// Whether the case was gone through to the end: by counts, or by labels where there is little to count.
  bool search(const CaseCosts& costs, const Bound& bound, Effort& left) {
    if (is_dismissed(bound)) return true;
    if (is_countable(costs)) return take(costs, search_counts(costs, bound, known_ps(), left.counts));
    return take(costs, search_labels(costs, bound, known_ps(), left.labels));
  }

  [[nodiscard]] bool is_dismissed(const Bound& bound) const {
    return bound.root() > bound.beaten_by(known_ps());
  }

  /// Whether `result` is all there is.
  bool take(const CaseCosts& costs, const SearchResult& result) {
    if (result.sides) take(costs, *result.sides, result.time_ps);
    return result.complete;
  }

  /// Moves single units as long as that helps: a better time to beat prunes more.
  void improve(const CaseCosts& costs, std::vector<std::uint8_t> sides) {
    auto time_ps = spent_by(costs, sides).time_ps(costs.timing);
    bool moved = true;
    for (int pass = 0; moved && pass < kMostPasses; ++pass) {
      moved = false;
      for (auto i = sides.size(); i-- > 0;) {
        if (!costs.allows(i, 1 - sides[i])) continue;
        sides[i] = static_cast<std::uint8_t>(1 - sides[i]);
        const auto spent = spent_by(costs, sides);
        if (spent.fits(costs) && spent.time_ps(costs.timing) < time_ps) {
          time_ps = spent.time_ps(costs.timing);
          moved = true;
        } else {
          sides[i] = static_cast<std::uint8_t>(1 - sides[i]);
        }
      }
    }
    take(costs, sides, time_ps);
  }

  static constexpr int kMostPasses = 4;
  static constexpr Effort kLittle{{20'000, 3'000}, 0};
  static constexpr std::size_t kCountsALabel = 10;  ///< that take as long to look at

  const ModelInput& model_;
  const Budget& budget_;
  const Workload& workload_;
  const MachineProfile& machine_;
  SearchSpace space_;
  std::optional<Choice> best_;
  Effort left_;
  Picoseconds bound_ps_ = std::numeric_limits<Picoseconds>::max();  ///< of cases not searched to the end
};

}  // namespace

Picoseconds objective_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                         const Placement& placement) {
  if (workload.optimise == Optimise::prefill) {
    const auto part =
        step_time(model, workload.kv_type, machine, placement, decode_step(workload), kPrefillDecodeParts);
    return prefill_ps(model, workload, machine, placement) + part.serial_ps();
  }
  Picoseconds least = std::numeric_limits<Picoseconds>::max();
  for (const auto& mode : modes_of(workload)) {
    const auto time = step_time(model, workload.kv_type, machine, placement, mode.step);
    least = std::min(least, mode.timing == Timing::serial ? time.serial_ps() : time.overlapped_ps());
  }
  return least;
}

std::optional<Choice> fastest(const ModelInput& model, const Budget& budget, const Workload& workload,
                              const MachineProfile& machine, Device gpu, const SearchLimits& limits) {
  // The fastest placement leaves little on the CPU, so RAM rarely binds; without it the search is quicker.
  auto any_ram = budget;
  any_ram.ram_bytes = std::numeric_limits<std::uint64_t>::max();
  auto choice = Search(model, any_ram, workload, machine, gpu, limits).run();
  if (!choice) return choice;
  const auto bytes = footprint(model, budget, workload, machine, choice->placement);
  if (bytes.ram_bytes <= budget.ram_bytes) return choice;
  const auto room = roomiest(model, budget, workload, machine, gpu);
  if (footprint(model, budget, workload, machine, room).ram_bytes > budget.ram_bytes) return std::nullopt;
  return Search(model, budget, workload, machine, gpu, limits).run();
}

Placement roomiest(const ModelInput& model, const Budget& budget, const Workload& workload,
                   const MachineProfile& machine, Device gpu) {
  const auto space = search_space(model, budget, workload, machine, gpu, std::nullopt);
  std::optional<LeastRam> best;
  for (const auto& placement : space.few_crossings) {
    const auto bytes = footprint(model, budget, workload, machine, placement);
    if (bytes.vram_bytes > budget.vram_bytes || (best && best->ram_bytes <= bytes.ram_bytes)) continue;
    best = {placement, bytes.ram_bytes};
    if (best->ram_bytes <= budget.ram_bytes) return best->placement;
  }
  auto mixed = least_ram(space);
  if (mixed && (!best || mixed->ram_bytes < best->ram_bytes)) best = std::move(mixed);
  return best ? best->placement : Placement::all_on(Device::cpu, model.layers.size());
}

}  // namespace tandem::planner
