#include "planner/count_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <queue>
#include <tuple>
#include <utility>

#include "planner/changes.h"
#include "planner/eight.h"
#include "planner/unit_counts.h"

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

/// Sums that must not exceed a limit each: bytes, and times with what changes add at least.
using Sums = Eight;

constexpr double kNoLimit = 1e300;

/// What one more unit of a kind on the GPU adds, and how many come into question: as many as a sum leaves
/// room for, if each adds to it, and as few as make room, if each takes from it.
struct Steps {
  Sums each;
  Sums most;  ///< that a sum may be without these units, whatever comes after them
  Sums most_units_each;
  Sums most_units_beside{kNoLimit};
  Sums least_units_each;
};

/// Counts with no more changes than they need.
struct Candidate {
  Picoseconds time_ps = 0;
  Counts counts;
  Arrangement arrangement;

  [[nodiscard]] bool operator>(const Candidate& other) const {
    return std::tie(time_ps, counts, arrangement.first) >
           std::tie(other.time_ps, other.counts, other.arrangement.first);
  }
};

class CountSearch {
 public:
  CountSearch(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps, CountLimits& left)
      : costs_(costs),
        bound_(bound),
        known_ps_(known_ps),
        left_(left),
        kinds_(unit_kinds(costs)),
        changes_(costs, kinds_),
        counts_(kinds_.kinds.size()) {
    changes_.add_line(prices_of_changes());
    sort_kinds();
  }

  /// In steps from just above the bound to what is known: most of it need never be gone through.
  SearchResult run() {
    const auto root_ps = std::max(0.0, bound_.root());
    auto step_ps = std::min((static_cast<double>(known_ps_) - root_ps) / kSteps, root_ps / kNear) + 1;
    while (true) {
      const auto within = root_ps + step_ps;
      within_ps_ = within < static_cast<double>(known_ps_) ? static_cast<Picoseconds>(within) : known_ps_;
      queue_ = {};
      collect();
      const bool all = left_.counts > 0;
      auto found = fastest_arranged();
      const bool complete = all && left_.tries > 0;
      if (found) return {std::move(found->sides), found->time_ps, complete};
      if (!complete || within_ps_ == known_ps_) return {std::nullopt, 0, complete};
      step_ps *= kWider;
    }
  }

 private:
  struct Found {
    Sides sides;
    Picoseconds time_ps = 0;
  };

  static constexpr double kSteps = 4;
  static constexpr double kNear = 512;
  static constexpr double kWider = 8;
  static constexpr double kPrecision = 1e-12;
  static constexpr std::size_t kCountsACandidate = 20;  ///< that take as long

  /// Price of the time a side is busy.
  [[nodiscard]] static double busy(const Bound::Prices& prices, std::size_t side) {
    return prices.serial + 2 * (side == kOnCpu ? prices.cpu : prices.gpu);
  }

  [[nodiscard]] static double worth(const Bound::Prices& prices, const AlikeUnits& kind) {
    return busy(prices, kOnGpu) * static_cast<double>(kind.unit_ps[kOnGpu]) +
           prices.vram * static_cast<double>(kind.bytes.vram_bytes) - on_cpu(prices, kind);
  }
  [[nodiscard]] static double on_cpu(const Bound::Prices& prices, const AlikeUnits& kind) {
    return busy(prices, kOnCpu) * static_cast<double>(kind.unit_ps[kOnCpu]) +
           prices.ram * static_cast<double>(kind.bytes.ram_bytes + kind.bytes.drafts_bytes);
  }

  /// Of a change, at least: stages on either side are entered in turn.
  [[nodiscard]] double per_change(const Bound::Prices& prices) const {
    const auto& stage_ps = costs_.costs->stage_ps;
    return prices.serial * static_cast<double>(costs_.costs->crossing_ps) +
           (busy(prices, kOnCpu) * static_cast<double>(stage_ps[kOnCpu]) +
            busy(prices, kOnGpu) * static_cast<double>(stage_ps[kOnGpu])) /
               2;
  }

  /// The bound's own prices, in changes.
  [[nodiscard]] std::vector<double> prices_of_changes() const {
    std::vector<double> prices;
    for (const auto& kind : kinds_.kinds)
      prices.push_back(worth(bound_.prices(), kind) / per_change(bound_.prices()));
    return prices;
  }

  /// What is priced is at most `most`, with the changes that counts need by `line`.
  void add_limit(const Bound::Prices& prices, const Changes::Line& line, double most) {
    const auto head = costs_.within->head;
    const auto change = per_change(prices);
    const auto sum = limits_++;
    auto start = busy(prices, head) * static_cast<double>(costs_.costs->head_ps[head]) +
                 change * std::ranges::min(line.start);
    auto size = std::abs(start) + std::abs(most);
    double least_rest = 0;
    for (auto depth = order_.size(); depth-- > 0;) {
      const auto& kind = kinds_.kinds[order_[depth]];
      const auto each = worth(prices, kind) - change * line.each[order_[depth]];
      const auto [least, most_units] = range(kind);
      steps_[depth].each.set(sum, each);
      steps_[depth].most.set(sum, -least_rest);
      steps_[depth].most_units_each.set(sum, each > 0 ? 1 / each : each == 0 ? kNoLimit : 0);
      steps_[depth].most_units_beside.set(sum, each < 0 ? kNoLimit : 0);
      steps_[depth].least_units_each.set(sum, each < 0 ? 1 / each : 0);
      least_rest += std::min(least * each, most_units * each);
      start += kind.units * on_cpu(prices, kind);
      size += kind.units * (on_cpu(prices, kind) + std::abs(each));
    }
    start_.set(sum, start);
    for (auto& step : steps_) step.most.set(sum, step.most[sum] + most + kPrecision * (1 + size));
  }

  void set_limits() {
    const auto time = static_cast<double>(within_ps_) - 1;
    const auto vram = static_cast<double>(costs_.within->vram_limit_bytes);
    const auto ram = static_cast<double>(costs_.ram_limit_bytes());
    const auto& prices = bound_.prices();
    const auto& none = changes_.lines()[0];
    const auto& priced = changes_.lines()[1];
    limits_ = 0;
    start_ = {};
    steps_.assign(order_.size(), {});
    add_limit({1, 0, 0, 0, 0}, none, vram);
    if (costs_.space->ram_may_bind) add_limit({0, 1, 0, 0, 0}, none, ram);
    add_limit({0, 0, 0, 0, 1}, priced, time);
    for (const auto* line : {&none, &priced})
      add_limit(prices, *line, time + prices.vram * vram + prices.ram * ram);
    if (costs_.timing == Timing::serial) return;
    add_limit({0, 0, 1, 0, 0}, none, time);
    add_limit({0, 0, 0, 1, 0}, none, time);
  }

  /// How many units of a kind may be on the GPU.
  [[nodiscard]] std::pair<double, double> range(const AlikeUnits& kind) const {
    return {costs_.within->allows(kind.bytes, kOnCpu) ? 0 : kind.units,
            costs_.within->allows(kind.bytes, kOnGpu) ? kind.units : 0};
  }

  /// Kinds that are worth most where they are come first: few numbers of them come into question.
  void sort_kinds() {
    for (std::size_t k = 0; k < kinds_.kinds.size(); ++k) order_.push_back(k);
    std::ranges::stable_sort(order_, std::ranges::greater{}, [this](std::size_t k) {
      return std::abs(worth(bound_.prices(), kinds_.kinds[k]) -
                      per_change(bound_.prices()) * changes_.lines()[1].each[k]);
    });
  }

  /// All counts that may take less than within_ps_, as long as the limit allows.
  void collect() {
    set_limits();
    visit(0, start_);
  }

  void visit(std::size_t depth, const Sums& sums) {
    if (left_.counts == 0) return;
    --left_.counts;
    if (depth == order_.size()) return offer();
    const auto& step = steps_[depth];
    const auto room = step.most - sums;
    const auto [none_less, none_more] = range(kinds_.kinds[order_[depth]]);
    const auto most = std::min(none_more, (room * step.most_units_each + step.most_units_beside).least());
    const auto least = std::max(none_less, (room * step.least_units_each).most());
    if (least > most) return;
    // NOLINTNEXTLINE(bugprone-float-loop-counter): whole numbers far below 2^53
    for (auto units = rounded_up(least); units <= most; ++units) {
      counts_[order_[depth]] = static_cast<std::uint32_t>(units);
      visit(depth + 1, sums + Sums(units) * step.each);
    }
  }

  /// Of what is no less than 0 and no more than there are units.
  static double rounded_up(double units) {
    const auto whole = static_cast<double>(static_cast<std::int64_t>(units));
    return whole < units ? whole + 1 : whole;
  }

  void offer() {
    left_.counts -= std::min(left_.counts, kCountsACandidate);
    if (!spent_by(costs_, kinds_, counts_, {}).fits(costs_)) return;
    for (const auto first : {kOnCpu, kOnGpu}) {
      if (costs_.allows(0, first)) enqueue({0, counts_, {first, changes_.at_least(counts_, first)}});
    }
  }

  void enqueue(Candidate candidate) {
    const auto refuted = refuted_.find({candidate.counts, candidate.arrangement.first});
    auto& changes = candidate.arrangement.changes;
    if (refuted != refuted_.end()) changes = std::max(changes, refuted->second);
    candidate.time_ps = time_of(candidate.counts, candidate.arrangement);
    if (candidate.time_ps < within_ps_) queue_.push(std::move(candidate));
  }

  [[nodiscard]] Picoseconds time_of(const Counts& counts, Arrangement arrangement) const {
    return spent_by(costs_, kinds_, counts, arrangement).time_ps(costs_.timing);
  }

  /// As many changes as take no longer.
  [[nodiscard]] std::uint32_t most_changes(const Candidate& candidate) const {
    auto arrangement = candidate.arrangement;
    do {
      arrangement.changes += 2;
    } while (arrangement.changes <= costs_.units() &&
             time_of(candidate.counts, arrangement) <= candidate.time_ps);
    return arrangement.changes - 2;
  }

  /// The first candidate that can be arranged.  One that cannot comes back with more changes.
  std::optional<Found> fastest_arranged() {
    while (!queue_.empty()) {
      auto candidate = queue_.top();
      queue_.pop();
      const auto first = candidate.arrangement.first;
      const auto most = most_changes(candidate);
      auto least = changes_.at_least(candidate.counts, first);
      if (least <= most) least = changes_.raised(candidate.counts, first, most, left_.tries);
      if (least <= most) {
        auto sides = changes_.arranged(candidate.counts, first, most, left_.tries);
        if (sides) return Found{std::move(*sides), candidate.time_ps};
        if (left_.tries == 0) return std::nullopt;
        least = most + 2;
        refuted_[{candidate.counts, first}] = least;
      }
      candidate.arrangement.changes = least;
      if (least <= costs_.units()) enqueue(std::move(candidate));
    }
    return std::nullopt;
  }

  const CaseCosts& costs_;
  const Bound& bound_;
  Picoseconds known_ps_;
  Picoseconds within_ps_ = 0;  ///< candidates take less
  CountLimits& left_;
  UnitKinds kinds_;
  Changes changes_;
  std::vector<std::size_t> order_;  ///< in which kinds are gone through
  std::size_t limits_ = 0;
  Sums start_;
  std::vector<Steps> steps_;  ///< in that order
  Counts counts_;
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue_;
  std::map<std::pair<Counts, std::size_t>, std::uint32_t> refuted_;  ///< changes that these need at least
};

}  // namespace

bool is_countable(const CaseCosts& costs) {
  constexpr double kMostNumbers = 1e18;
  auto numbers = 2.0 * static_cast<double>(costs.units());
  for (const auto& kind : unit_kinds(costs).kinds) numbers *= kind.units + 1.0;
  return numbers < kMostNumbers;
}

SearchResult search_counts(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps,
                           CountLimits& left) {
  if (!is_countable(costs)) return {std::nullopt, 0, false};
  return CountSearch(costs, bound, known_ps, left).run();
}

}  // namespace tandem::planner
