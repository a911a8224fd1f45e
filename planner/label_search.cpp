#include "planner/label_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "planner/half_search.h"

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

constexpr std::size_t kPairsALabel = 32;  ///< that take as long
constexpr double kFar = 1e18;             ///< beyond every limit that counts
constexpr std::size_t kTimed = 4;         ///< amounts before those of RAM, which are not simply sums

/// What a label of a front takes.
template <std::size_t kAmounts>
struct Taken {
  Amounts<kAmounts> amounts{};
  std::uint32_t index = 0;
};

template <std::size_t kAmounts>
class LabelSearch {
 public:
  LabelSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps)
      : costs_(costs),
        bounds_(bounds),
        known_ps_(known_ps),
        first_(costs, bounds, known_ps, Half::first),
        last_(costs, bounds, known_ps, Half::last),
        next_(HalfSearch<kAmounts>::order(bounds)) {}

  /// Goes on until no labels are left.
  SearchResult run(LabelLimits& left) {
    while (const auto units = costs_.units() - first_.reached() - last_.reached()) {
      if (left.labels == 0) return {std::nullopt, 0, false, units * std::max(first_.size(), last_.size())};
      (first_.size() <= last_.size() ? first_ : last_).extend(left, next_);
    }
    if (kAmounts == 2 && !costs_.lacks_gpu(0)) {
      for (const auto side : {kOnCpu, kOnGpu}) {
        for (const auto next : {kOnCpu, kOnGpu}) join_pareto_fronts(side, next);
      }
    } else {
      join_by_weight(left);
    }
    return {best_sides(), known_ps_, first_.complete() && last_.complete() && left.labels > 0};
  }

 private:
  /// Where only time and VRAM count: the more VRAM the less time, in either half.
  void join_pareto_fronts(std::size_t side, std::size_t next) {
    const auto before = first_.front(side);
    const auto after = last_.front(next);
    const auto vram = static_cast<std::int64_t>(costs_.within->vram_limit_bytes);
    auto fitting = after.size();
    for (std::size_t i = 0; i < before.size(); ++i) {
      while (fitting > 0 && after[fitting - 1].amounts[kVram] > vram - before[i].amounts[kVram]) --fitting;
      if (fitting == 0) return;
      offer(side, i, next, fitting - 1);
    }
  }

  /// Of what the best bound weighs, say by w, a pair must take no more than its limit, and cannot take less
  /// than that by more than 1 / w of what the bound is below the time known, since all else is within its
  /// limit: so few pairs come into question.
  void join_by_weight(LabelLimits& left) {
    const auto weighed = weightiest();
    const std::array after{in_order(last_.front(kOnCpu), weighed.amount),
                           in_order(last_.front(kOnGpu), weighed.amount)};
    for (const auto side : {kOnCpu, kOnGpu}) {
      const auto before = in_order(first_.front(side), weighed.amount);
      for (const auto next : {kOnCpu, kOnGpu}) join(side, before, next, after[next], weighed, left);
    }
  }

  struct Weighed {
    Amount amount = kSerial;
    double weight = 0;
  };

  void join(std::size_t side, const std::vector<Taken<kAmounts>>& before, std::size_t next,
            const std::vector<Taken<kAmounts>>& after, Weighed weighed, LabelLimits& left) {
    const auto& bound = bounds_.front();
    const auto amount = weighed.amount;
    const auto change = amounts_of<kAmounts>(change_of(side, next))[amount];
    const auto limit = static_cast<double>(most()[amount]);
    const auto below = (bound.beaten_by(known_ps_) - bound.root()) / weighed.weight;
    const auto nearest = std::max(-kFar, limit * (1 - 1e-9) - below);
    const auto least = static_cast<std::int64_t>(std::min(kFar, nearest)) - 1 - change;
    std::size_t begin = 0;
    std::size_t pairs = 0;
    for (auto label = before.rbegin(); label != before.rend(); ++label) {
      if (pairs / kPairsALabel >= left.labels) break;
      while (begin < after.size() && after[begin].amounts[amount] < least - label->amounts[amount]) ++begin;
      pairs += join(side, *label, next, std::span(after).subspan(begin), amount);
    }
    left.labels -= std::min(left.labels, pairs / kPairsALabel);
  }

  /// One label with all that come into question, which are in the order of `amount`; how many those are.
  std::size_t join(std::size_t side, const Taken<kAmounts>& label, std::size_t next,
                   std::span<const Taken<kAmounts>> after, Amount amount) {
    auto room = room_beside(side, label, next);
    std::size_t pairs = 0;
    for (; pairs < after.size() && after[pairs].amounts[amount] <= room[amount]; ++pairs) {
      std::int64_t left = 0;
      for_each_index<std::min(kAmounts, kTimed)>(
          [&](std::size_t k) { left |= room[k] - after[pairs].amounts[k]; });
      if (left < 0) continue;
      offer(side, label.index, next, after[pairs].index);
      room = room_beside(side, label, next);
    }
    return pairs;
  }

  /// What may come beside a label and be faster than what is known.
  [[nodiscard]] Amounts<kAmounts> room_beside(std::size_t side, const Taken<kAmounts>& label,
                                              std::size_t next) const {
    const auto change = amounts_of<kAmounts>(change_of(side, next));
    auto room = most();
    for_each_index<kAmounts>([&](std::size_t k) { room[k] -= change[k] + label.amounts[k]; });
    return room;
  }

  /// What a placement that is faster than what is known may take.
  [[nodiscard]] Amounts<kAmounts> most() const {
    const auto most_ps = static_cast<std::int64_t>(known_ps_) - 1;
    Amounts<kAmounts> most{};
    most[kVram] = static_cast<std::int64_t>(costs_.within->vram_limit_bytes);
    most[kSerial] = most_ps;
    // Of a device's own times two overlap.
    if constexpr (kAmounts > 2) most[kCpu] = most[kGpu] = is_overlapped() ? most_ps / 2 : most_ps;
    return most;
  }

  /// What makes the greatest difference between labels: fewest are then as near to its limit.
  [[nodiscard]] Weighed weightiest() const {
    const auto& prices = bounds_.front().prices();
    std::vector<Weighed> all{{kVram, prices.vram}, {kSerial, prices.serial}};
    if constexpr (kAmounts > 2) {
      all.push_back({kCpu, 2 * prices.cpu});
      all.push_back({kGpu, 2 * prices.gpu});
    }
    return std::ranges::max(all, {}, [this](const Weighed& weighed) {
      const auto of = [&](const Label<kAmounts>& label) { return label.amounts[weighed.amount]; };
      std::int64_t spread = 0;
      for (const auto side : {kOnCpu, kOnGpu}) {
        const auto labels = last_.front(side);
        if (labels.empty()) continue;
        const auto [least, most] = std::ranges::minmax(labels, {}, of);
        spread = std::max(spread, of(most) - of(least));
      }
      return weighed.weight * static_cast<double>(spread);
    });
  }

  static std::vector<Taken<kAmounts>> in_order(std::span<const Label<kAmounts>> front, Amount amount) {
    std::vector<Taken<kAmounts>> labels;
    labels.reserve(front.size());
    for (const auto& label : front)
      labels.push_back({label.amounts, static_cast<std::uint32_t>(labels.size())});
    const auto of = [amount](const Taken<kAmounts>& taken) { return taken.amounts[amount]; };
    if (!std::ranges::is_sorted(labels, {}, of)) std::ranges::sort(labels, {}, of);
    return labels;
  }

  [[nodiscard]] Spent change_of(std::size_t side, std::size_t next) const {
    Spent change;
    change.change(costs_, side, next);
    return change;
  }

  /// Takes the labels together if they are faster than what is known, and fit.
  void offer(std::size_t side, std::size_t index, std::size_t next, std::size_t next_index) {
    auto amounts = amounts_of<kAmounts>(change_of(side, next));
    for_each_index<kAmounts>([&](std::size_t k) {
      amounts[k] += first_.front(side)[index].amounts[k] + last_.front(next)[next_index].amounts[k];
    });
    if (time_of(amounts) >= known_ps_) return;
    if (!fits(amounts)) return;
    best_ = {{side, index}, {next, next_index}};
    known_ps_ = time_of(amounts);
  }

  /// What labels do not count is within its limit whatever they are.
  [[nodiscard]] bool fits(const Amounts<kAmounts>& amounts) const {
    Spent spent;
    spent.vram_bytes = static_cast<std::uint64_t>(amounts[kVram]);
    if constexpr (kAmounts > 4) {
      spent.ram_bytes = static_cast<std::uint64_t>(amounts[kRam]);
      spent.drafts_bytes = static_cast<std::uint64_t>(amounts[kDrafts]);
    }
    return spent.fits(costs_);
  }

  [[nodiscard]] std::optional<Sides> best_sides() const {
    if (!best_) return std::nullopt;
    Sides sides(costs_.units());
    first_.put(best_->first, sides);
    last_.put(best_->second, sides);
    return sides;
  }

  [[nodiscard]] bool is_overlapped() const noexcept { return costs_.timing == Timing::overlapped; }

  [[nodiscard]] Picoseconds time_of(const Amounts<kAmounts>& amounts) const {
    auto time = amounts[kSerial];
    if constexpr (kAmounts > 2) {
      if (is_overlapped()) time = std::max({time, 2 * amounts[kCpu], 2 * amounts[kGpu]});
    }
    return static_cast<Picoseconds>(time);
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Picoseconds known_ps_;
  HalfSearch<kAmounts> first_;
  HalfSearch<kAmounts> last_;
  Fronts<kAmounts> next_;                                  ///< what both extend their labels into
  std::optional<std::pair<LabelPlace, LabelPlace>> best_;  ///< of the first and the last units
};

template <std::size_t kAmounts>
std::function<SearchResult(LabelLimits&)> resumable(const CaseCosts& costs, const std::vector<Bound>& bounds,
                                                    Picoseconds known_ps) {
  auto search = std::make_shared<LabelSearch<kAmounts>>(costs, bounds, known_ps);
  return [search](LabelLimits& left) { return search->run(left); };
}

}  // namespace

std::function<SearchResult(LabelLimits&)> label_search(const CaseCosts& costs,
                                                       const std::vector<Bound>& bounds,
                                                       Picoseconds known_ps) {
  if (costs.space->ram_may_bind) return resumable<6>(costs, bounds, known_ps);
  if (costs.timing == Timing::overlapped) return resumable<4>(costs, bounds, known_ps);
  return resumable<2>(costs, bounds, known_ps);
}

}  // namespace tandem::planner
