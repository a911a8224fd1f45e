#include "planner/optimum.h"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <limits>
#include <list>
#include <utility>
#include <vector>

#include "planner/bound.h"
#include "planner/count_search.h"
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
};

/// A part of a decode_step and one of a prompt's chunk, whose time together is to be short.
struct Blend {
  Picoseconds decode_parts = 1;
  Picoseconds chunk_parts = 1;
};

std::optional<Blend> blend_of(const Workload& workload) {
  if (workload.optimise == Optimise::prefill) return Blend{kPrefillDecodeParts, 1};
  if (workload.optimise != Optimise::request) return std::nullopt;
  return Blend{1, std::max<Picoseconds>(1, prefill_step(workload).rows / kPromptTokPerAnswerTok)};
}

/// The objective is the least of these.
std::vector<Mode> modes_of(const Workload& workload) {
  switch (workload.optimise) {
    case Optimise::decode:
    case Optimise::prefill:  // blended
    case Optimise::request:
      return {{decode_step(workload)}};
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
        most_counts_(limits.most_counts),
        labels_left_(limits.most_labels) {}

  std::optional<Choice> run() {
    if (!space_.exact) bound_ps_ = 0;
    for (const auto& placement : space_.few_crossings) offer(placement);
    std::vector<Open> open;
    for (const auto& mode : modes_of(workload_)) {
      const auto& costs = costs_.emplace_back(costs_of(mode));
      std::ranges::move(joined(open_cases(costs, mode.timing)), std::back_inserter(open));
    }
    // A time near a low bound dismisses what has a higher one.
    std::ranges::stable_sort(open, {}, &Open::root);
    for (std::size_t at = 0; at < open.size(); ++at) {
      const auto entry = std::move(open[at]);
      if (search(entry) == Outcome::apart) std::ranges::copy(entry.parts, std::back_inserter(open));
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
    const auto blend = blend_of(workload_);
    const auto of_step =
        step_costs(model_, workload_, machine_, space_.gpu, mode.step, blend ? blend->decode_parts : 1);
    if (!blend) return {of_step, of_step};
    std::array<StepCosts, 2> both;
    for (const auto head : {kOnCpu, kOnGpu}) {
      both[head] = chunk_costs(head, blend->chunk_parts);
      both[head].add(of_step);
    }
    return both;
  }

  [[nodiscard]] StepCosts chunk_costs(std::size_t head, Picoseconds parts) const {
    if (streams_prefill_step(workload_))
      return streamed_costs(model_, workload_, machine_, space_.gpu, head, parts);
    return step_costs(model_, workload_, machine_, space_.gpu, prefill_step(workload_), parts);
  }

  void take(const CaseCosts& costs, const std::vector<std::uint8_t>& sides, Picoseconds time_ps) {
    if (best_ && best_->time_ps <= time_ps) return;
    best_ = Choice{placement_of(space_, costs.within->head, sides), time_ps, 0};
  }

  [[nodiscard]] Picoseconds known_ps() const {
    return best_ ? best_->time_ps : std::numeric_limits<Picoseconds>::max() / 4;
  }

  /// A case to search, or several as one.
  struct Open {
    CaseCosts costs;
    std::vector<Bound> bounds;
    std::vector<Open> parts;  ///< of one that is joined

    [[nodiscard]] double root() const { return bounds.front().root(); }
  };

  [[nodiscard]] bool is_dismissed(const Open& entry) const {
    return entry.bounds.front().dismisses(known_ps());
  }

  /// Cases that may hold something faster than what is known.
  std::vector<Open> open_cases(const std::array<StepCosts, 2>& costs, Timing timing) {
    std::vector<Open> open;
    std::vector<Bound::Prices> prices;  // good for one case, good enough to dismiss another
    for (const auto& within : space_.cases) {
      if (within.ram_fixed_bytes > space_.ram_budget_bytes) continue;
      const CaseCosts in_case{&space_, &within, &costs[within.head], timing};
      const auto dismisses = [&](const Bound::Prices& known) {
        return Bound(in_case, known).dismisses(known_ps());
      };
      if (std::ranges::any_of(prices, dismisses)) continue;
      std::vector<std::vector<std::uint8_t>> tried;
      auto bounds = Bound::good_ones(in_case, known_ps(), tried);
      for (const auto& sides : tried) take(in_case, sides, spent_by(in_case, sides).time_ps(timing));
      if (!tried.empty()) improve(in_case, std::move(tried.back()));
      prices.clear();
      for (const auto& bound : bounds) prices.push_back(bound.prices());
      open.push_back({in_case, std::move(bounds), {}});
    }
    std::ranges::stable_sort(open, {}, &Open::root);
    std::erase_if(open, [this](const Open& entry) {
      return is_dismissed(entry) || outcome(entry, by_counts(entry, kFewCounts)) == Outcome::searched;
    });
    return open;
  }

  /// Moves single units as long as that helps: a better time to beat prunes more.
  void improve(const CaseCosts& costs, std::vector<std::uint8_t> sides) {
    auto spent = spent_by(costs, sides);
    bool moved = true;
    for (int pass = 0; moved && pass < kMostPasses; ++pass) {
      moved = false;
      for (auto i = sides.size(); i-- > 0;) {
        if (!costs.allows(i, 1 - sides[i])) continue;
        const auto others = spent - spent_at(costs, sides, i);
        sides[i] = static_cast<std::uint8_t>(1 - sides[i]);
        const auto with = others + spent_at(costs, sides, i);
        if (with.fits(costs) && with.time_ps(costs.timing) < spent.time_ps(costs.timing)) {
          spent = with;
          moved = true;
        } else {
          sides[i] = static_cast<std::uint8_t>(1 - sides[i]);
        }
      }
    }
    take(costs, sides, spent.time_ps(costs.timing));
  }

  /// Cases with the head on one side often differ in few bytes: they are one that allows what any of them
  /// does, within the loosest limits of all.
  std::vector<Open> joined(std::vector<Open> cases) {
    std::vector<Open> open;
    while (!cases.empty()) {
      const auto& first = *cases.front().costs.within;
      const auto others = std::stable_partition(cases.begin(), cases.end(), [&](const Open& entry) {
        return are_alike(first, *entry.costs.within);
      });
      std::vector<Open> alike(std::move_iterator(cases.begin()), std::move_iterator(others));
      cases.erase(cases.begin(), others);
      if (alike.size() == 1) {
        open.push_back(std::move(alike.front()));
        continue;
      }
      auto& loosest = joined_.emplace_back(*alike.front().costs.within);
      for (const auto& entry : alike) loosen(loosest, *entry.costs.within);
      auto costs = alike.front().costs;
      costs.within = &loosest;
      std::vector<std::vector<std::uint8_t>> tried;
      open.push_back({costs, Bound::good_ones(costs, known_ps(), tried), std::move(alike)});
    }
    return open;
  }

  static bool are_alike(const SearchCase& within, const SearchCase& other) {
    const auto difference = [](std::uint64_t bytes, std::uint64_t other_bytes) {
      return std::max(bytes, other_bytes) - std::min(bytes, other_bytes);
    };
    return within.head == other.head &&
           difference(within.vram_limit_bytes, other.vram_limit_bytes) < kFewBytes &&
           difference(within.ram_fixed_bytes, other.ram_fixed_bytes) < kFewBytes;
  }

  static void loosen(SearchCase& within, const SearchCase& other) {
    for (std::size_t sort = 0; sort < within.allowed.size(); ++sort) {
      for (const auto side : {kOnCpu, kOnGpu})
        within.allowed[sort][side] = within.allowed[sort][side] || other.allowed[sort][side];
    }
    within.vram_limit_bytes = std::max(within.vram_limit_bytes, other.vram_limit_bytes);
    within.ram_fixed_bytes = std::min(within.ram_fixed_bytes, other.ram_fixed_bytes);
    within.needs_gpu = within.needs_gpu && other.needs_gpu;
  }

  enum class Outcome {
    open,      ///< something faster may be left
    searched,  ///< nothing is
    apart      ///< the fastest of several cases as one fits none of them
  };

  /// What a search leaves, and what it found is taken.
  Outcome outcome(const Open& entry, const SearchResult& result) {
    if (result.sides) {
      const auto placement = placement_of(space_, entry.costs.within->head, *result.sides);
      if (!entry.parts.empty() && !fits(placement)) return Outcome::apart;
      take(entry.costs, *result.sides, result.time_ps);
    }
    return result.complete ? Outcome::searched : Outcome::open;
  }

  /// With few labels abreast a time is found that is hard to beat, and then few counts or far fewer labels
  /// may do. Where labels are many all the same, counts may be fewer, or find a time with which labels are.
  Outcome search(const Open& entry) {
    std::function<SearchResult(LabelLimits&)> labels;
    Picoseconds labels_to_beat_ps = 0;
    const auto begin_labels = [&] {
      labels_to_beat_ps = known_ps();
      labels = label_search(entry.costs, entry.bounds, labels_to_beat_ps);
    };
    const auto begin_again = [&] {
      const auto above = [&](Picoseconds time_ps) { return static_cast<double>(time_ps) - entry.root(); };
      if (above(known_ps()) < kMuchNearer * above(labels_to_beat_ps)) begin_labels();
    };
    const std::array<std::function<SearchResult()>, 5> ways{
        [&] {
          begin_labels();
          return by_labels(labels, {kMostLabels, kFewAbreast});
        },
        [&] { return by_counts(entry, kSomeCounts); },
        [&] {
          begin_labels();
          auto result = by_labels(labels, {kSomeLabels});
          for (int more = 0; more < kMoreLabels && !result.complete && result.labels_to_go <= kFewToGo;
               ++more)
            result = by_labels(labels, {kFewToGo});
          return result;
        },
        [&] { return by_counts(entry, kManyCounts); },
        [&] {
          begin_again();
          return by_labels(labels, {kMostLabels});
        },
    };
    for (const auto& way : ways) {
      if (is_dismissed(entry)) return Outcome::searched;
      const auto left = outcome(entry, way());
      if (left != Outcome::open) return left;
    }
    bound_ps_ = std::min(bound_ps_, static_cast<Picoseconds>(std::max(0.0, entry.root())));
    return Outcome::searched;
  }

  SearchResult by_labels(const std::function<SearchResult(LabelLimits&)>& search, LabelLimits limits) {
    limits.labels = std::min(limits.labels, labels_left_);
    const auto labels = limits.labels;
    auto result = search(limits);
    labels_left_ -= labels - limits.labels;
    return result;
  }

  /// By counts, which are few where layers come in few kinds.
  SearchResult by_counts(const Open& entry, std::size_t most_counts) {
    const auto counts = std::min(most_counts, most_counts_);
    CountLimits left{counts, counts / kCountsATry};
    return search_counts(entry.costs, entry.bounds.front(), known_ps(), left);
  }

  static constexpr int kMostPasses = 4;
  static constexpr std::size_t kFewAbreast = 500;
  static constexpr std::size_t kSomeLabels = 60'000;
  static constexpr std::size_t kFewToGo = 200'000;
  static constexpr int kMoreLabels = 4;  ///< times as many as were to go
  static constexpr std::size_t kFewCounts = 5'000;
  static constexpr std::size_t kSomeCounts = 20'000;
  static constexpr std::size_t kManyCounts = 700'000;
  static constexpr std::size_t kCountsATry = 10;  ///< that take as long
  static constexpr double kMuchNearer = 0.9;      ///< to the bound
  static constexpr std::uint64_t kFewBytes = 1 << 20;

  const ModelInput& model_;
  const Budget& budget_;
  const Workload& workload_;
  const MachineProfile& machine_;
  SearchSpace space_;
  std::optional<Choice> best_;
  std::size_t most_counts_;
  std::size_t labels_left_;
  std::list<std::array<StepCosts, 2>> costs_;  ///< by mode
  std::list<SearchCase> joined_;
  Picoseconds bound_ps_ = std::numeric_limits<Picoseconds>::max();  ///< of cases not searched to the end
};

}  // namespace

Picoseconds objective_ps(const ModelInput& model, const Workload& workload, const MachineProfile& machine,
                         const Placement& placement) {
  if (const auto blend = blend_of(workload)) {
    const auto part =
        step_time(model, workload.kv_type, machine, placement, decode_step(workload), blend->decode_parts);
    return prefill_ps(model, workload, machine, placement, blend->chunk_parts) + part.serial_ps();
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
  if (!some_fits(model, budget, workload, machine, gpu)) return std::nullopt;
  return Search(model, budget, workload, machine, gpu, limits).run();
}

bool some_fits(const ModelInput& model, const Budget& budget, const Workload& workload,
               const MachineProfile& machine, Device gpu) {
  const auto fits = [&](const Placement& placement) {
    const auto bytes = footprint(model, budget, workload, machine, placement);
    return bytes.vram_bytes <= budget.vram_bytes && bytes.ram_bytes <= budget.ram_bytes;
  };
  const auto space = search_space(model, budget, workload, machine, gpu, std::nullopt);
  // Buffers may be smaller than a space counts that is not exact.
  if (!space.exact) return fits(roomiest(model, budget, workload, machine, gpu));
  return std::ranges::any_of(space.few_crossings, fits) || least_ram(space, budget.ram_bytes);
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
