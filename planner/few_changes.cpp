#include "planner/few_changes.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace tandem::planner {
namespace {

/// What units before one take if all are on one side.
struct Before {
  Picoseconds busy_ps = 0;
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
  std::uint64_t drafts_bytes = 0;
  std::size_t forbidden = 0;  ///< of them, units that may not be there
};

class FewChanges {
 public:
  FewChanges(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps)
      : costs_(costs), bound_(bound), best_ps_(known_ps) {
    for (const auto side : {kOnCpu, kOnGpu}) add_up(side);
  }

  SearchResult run() {
    const auto head = costs_.within->head;
    for (const auto first : {kOnCpu, kOnGpu}) {
      Spent spent;
      spent.busy_ps[first] = costs_.costs->stage_ps[first];
      spent.travel_ps = costs_.travel_ps(CaseCosts::kStart, first);
      for (std::uint32_t changes = first == head ? 0 : 1; changes <= kFewChanges; changes += 2) {
        first_ = first;
        ends_.clear();
        extend(spent, first, changes);
      }
    }
    if (!best_) return {};
    return {std::move(best_), best_ps_, true};
  }

 private:
  void add_up(std::size_t side) {
    auto& before = before_[side];
    before.resize(costs_.units() + 1);
    for (std::size_t i = 0; i < costs_.units(); ++i) {
      const auto& unit = costs_.space->units[i];
      auto& next = before[i + 1] = before[i];
      next.busy_ps += costs_.costs->unit_ps[i][side];
      next.forbidden += costs_.allows(i, side) ? 0 : 1;
      if (side == kOnGpu) {
        next.vram_bytes += unit.vram_bytes;
      } else {
        next.ram_bytes += unit.ram_bytes;
        next.drafts_bytes += unit.drafts_bytes;
      }
    }
  }

  [[nodiscard]] std::size_t begin() const noexcept { return ends_.empty() ? 0 : ends_.back(); }

  /// `spent` and the units from begin() to `end` on `side`.
  [[nodiscard]] Spent with_run(Spent spent, std::size_t side, std::size_t end) const {
    const auto& from = before_[side][begin()];
    const auto& to = before_[side][end];
    spent.busy_ps[side] += to.busy_ps - from.busy_ps;
    spent.vram_bytes += to.vram_bytes - from.vram_bytes;
    spent.ram_bytes += to.ram_bytes - from.ram_bytes;
    spent.drafts_bytes += to.drafts_bytes - from.drafts_bytes;
    return spent;
  }

  /// `spent` and a change to `side`.
  [[nodiscard]] Spent with_change(Spent spent, std::size_t side) const {
    spent.travel_ps += costs_.costs->crossing_ps;
    spent.busy_ps[side] += costs_.costs->stage_ps[side];
    return spent;
  }

  /// All ways to go on from begin() on `side`, with `changes` to come.
  void extend(const Spent& spent, std::size_t side, std::uint32_t changes) {
    if (changes == 0) return finish(with_run(spent, side, costs_.units()), side);
    const bool only_one_is_short = changes == 1 && costs_.timing == Timing::overlapped;
    const auto first = only_one_is_short ? first_end(spent, side) : begin() + 1;
    for (auto end = first; end + changes <= costs_.units() + 1; ++end) {
      if (before_[side][end].forbidden > before_[side][begin()].forbidden) return;
      const auto with = with_run(spent, side, end);
      if (with.time_ps(costs_.timing) >= best_ps_) return;
      if (bound_.prices().of(with) > bound_.most_before(end, side, best_ps_)) continue;
      ends_.push_back(end);
      extend(with_change(with, 1 - side), 1 - side, changes - 1);
      ends_.pop_back();
    }
  }

  /// Of the last change: with an earlier one the rest takes the other side too long.
  [[nodiscard]] std::size_t first_end(const Spent& spent, std::size_t side) const {
    const auto other = 1 - side;
    const auto& before = before_[other];
    const auto always = spent.busy_ps[other] + costs_.costs->stage_ps[other] + costs_.costs->head_ps[other];
    const auto from = before.begin() + static_cast<std::ptrdiff_t>(begin()) + 1;
    const auto end = std::partition_point(from, before.end(), [&](const Before& at) {
      return 2 * (always + before.back().busy_ps - at.busy_ps) >= best_ps_;
    });
    return static_cast<std::size_t>(end - before.begin());
  }

  /// All units are on sides, the last ones on `side`, as the head is.
  void finish(Spent spent, std::size_t side) {
    if (before_[side].back().forbidden > before_[side][begin()].forbidden || !spent.fits(costs_)) return;
    spent.add_head(costs_, side);
    const auto time_ps = spent.time_ps(costs_.timing);
    if (time_ps >= best_ps_) return;
    best_ps_ = time_ps;
    best_ = std::vector<std::uint8_t>(costs_.units());
    auto on = first_;
    std::size_t i = 0;
    for (const auto end : ends_) {
      for (; i < end; ++i) (*best_)[i] = static_cast<std::uint8_t>(on);
      on = 1 - on;
    }
    for (; i < costs_.units(); ++i) (*best_)[i] = static_cast<std::uint8_t>(on);
  }

  const CaseCosts& costs_;
  const Bound& bound_;
  Picoseconds best_ps_;
  std::array<std::vector<Before>, 2> before_;  ///< by side, of each unit and of the head
  std::size_t first_ = kOnCpu;
  std::vector<std::size_t> ends_;  ///< of the runs so far
  std::optional<std::vector<std::uint8_t>> best_;
};

}  // namespace

SearchResult search_few_changes(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps) {
  return FewChanges(costs, bound, known_ps).run();
}

Bound bound_beyond_few_changes(const CaseCosts& costs) {
  // Most of what a change costs is counted for so many, whatever is changed; the rest for every change, so
  // that units are not taken from all over the model as if that cost nothing.
  constexpr std::uint32_t kMany = kFewChanges + 1;
  constexpr Picoseconds kPartForEvery = 8;
  auto step = *costs.costs;
  const auto split = [](Picoseconds& cost) {
    const auto all = std::exchange(cost, cost / kPartForEvery);
    return all - cost;
  };
  step.always.crossing_ps = kMany * split(step.crossing_ps);
  step.always.cpu_ps = kMany / 2 * split(step.stage_ps[kOnCpu]);
  step.always.gpu_ps = kMany / 2 * split(step.stage_ps[kOnGpu]);
  auto many = costs;
  many.costs = &step;
  std::vector<std::vector<std::uint8_t>> tried;
  return Bound::good_ones(many, std::numeric_limits<Picoseconds>::max() / 4, tried).front();
}

}  // namespace tandem::planner
