#include "planner/label_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <utility>

#include "planner/half_search.h"

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

constexpr std::size_t kPairsALabel = 16;  ///< that take as long
constexpr std::size_t kTimed = 4;         ///< amounts before those of RAM, which are not simply sums

/// What a label of a front takes.
template <std::size_t kAmounts>
struct Taken {
  Amounts<kAmounts> amounts{};
  std::uint32_t index = 0;
};

/// Labels whose prices are close, in the order of one time.
template <std::size_t kAmounts>
struct Group {
  double least_price = 0;
  std::vector<Taken<kAmounts>> labels;
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
      join_by_time(left);
    }
    return {best_, known_ps_, first_.complete() && last_.complete() && left.labels > 0};
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

  /// Pairs whose price is not too high.  Of the time that the best bound weighs most, say by w, a pair must
  /// take less than is known, and cannot take less than that by more than 1 / w of what the bound is below
  /// it, since all else is within its limit: so few pairs come into question.
  void join_by_time(LabelLimits& left) {
    const auto [time, weight] = weightiest();
    const std::array after{grouped(last_.front(kOnCpu), time), grouped(last_.front(kOnGpu), time)};
    for (const auto side : {kOnCpu, kOnGpu}) {
      auto before = all_taken(first_.front(side));
      std::ranges::sort(before, std::ranges::greater{}, at(time));
      for (const auto next : {kOnCpu, kOnGpu}) join(side, before, next, after[next], {time, weight}, left);
    }
  }

  struct Weighed {
    Amount time = kSerial;
    double weight = 0;
  };

  void join(std::size_t side, const std::vector<Taken<kAmounts>>& before, std::size_t next,
            const std::vector<Group<kAmounts>>& groups, Weighed weighed, LabelLimits& left) {
    if (before.empty() || groups.empty()) return;
    const auto change = amounts_of<kAmounts>(change_of(side, next));
    const auto change_price = price_of(change);
    const auto steps = weighed.time == kSerial ? 1 : 2;  // two of a device's own overlap
    const auto known = static_cast<double>(known_ps_);
    const auto below = (known - bounds_.front().root()) / weighed.weight + 1e-9 * known + 1;
    const auto least = static_cast<std::int64_t>(std::max(0.0, known - below) / steps) - change[weighed.time];
    std::vector<std::size_t> begins(groups.size());
    std::size_t pairs = 0;
    for (const auto& label : before) {
      if (pairs / kPairsALabel >= left.labels) break;
      const auto most_price = bounds_.front().most_in_all(known_ps_) - change_price - price_of(label.amounts);
      const auto taken = label.amounts[weighed.time];
      for (std::size_t g = 0; g < groups.size() && groups[g].least_price <= most_price; ++g) {
        const auto& labels = groups[g].labels;
        auto& begin = begins[g];
        while (begin < labels.size() && labels[begin].amounts[weighed.time] < least - taken) ++begin;
        pairs += join(side, label, next, std::span(labels).subspan(begin), weighed.time);
      }
    }
    left.labels -= std::min(left.labels, pairs / kPairsALabel);
  }

  /// One label with all that come into question, which are in the order of `time`; how many those are.
  std::size_t join(std::size_t side, const Taken<kAmounts>& label, std::size_t next,
                   std::span<const Taken<kAmounts>> after, Amount time) {
    auto room = room_beside(side, label, next);
    std::size_t pairs = 0;
    for (; pairs < after.size() && after[pairs].amounts[time] <= room[time]; ++pairs) {
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
    const auto most_ps = static_cast<std::int64_t>(known_ps_) - 1;
    Amounts<kAmounts> room{};
    room[kVram] = static_cast<std::int64_t>(costs_.within->vram_limit_bytes);
    room[kSerial] = most_ps;
    if constexpr (kAmounts > 2)
      room[kCpu] = room[kGpu] = costs_.timing == Timing::overlapped ? most_ps / 2 : most_ps;
    for_each_index<kAmounts>([&](std::size_t k) { room[k] -= change[k] + label.amounts[k]; });
    return room;
  }

  [[nodiscard]] Weighed weightiest() const {
    const auto& prices = bounds_.front().prices();
    if constexpr (kAmounts > 2) {
      if (prices.cpu > std::max(prices.gpu, prices.serial)) return {kCpu, prices.cpu};
      if (prices.gpu > prices.serial) return {kGpu, prices.gpu};
    }
    return {kSerial, prices.serial};
  }

  static std::vector<Taken<kAmounts>> all_taken(std::span<const Label<kAmounts>> front) {
    std::vector<Taken<kAmounts>> all;
    all.reserve(front.size());
    for (const auto& label : front) all.push_back({label.amounts, static_cast<std::uint32_t>(all.size())});
    return all;
  }

  /// Of what a label takes, one amount.
  static auto at(Amount k) {
    return [k](const Taken<kAmounts>& taken) { return taken.amounts[k]; };
  }

  /// By the first bound.
  [[nodiscard]] double price_of(const Amounts<kAmounts>& amounts) const {
    const auto& prices = bounds_.front().prices();
    const auto amount = [&](Amount k) { return static_cast<double>(amounts[k]); };
    auto price = prices.serial * amount(kSerial) + prices.vram * amount(kVram);
    if constexpr (kAmounts > 2) price += 2 * (prices.cpu * amount(kCpu) + prices.gpu * amount(kGpu));
    if constexpr (kAmounts > 4) price += prices.ram * (amount(kRam) + amount(kDrafts));
    return price;
  }

  [[nodiscard]] std::vector<Group<kAmounts>> grouped(std::span<const Label<kAmounts>> front,
                                                     Amount time) const {
    constexpr std::size_t kGroups = 16;
    std::vector<Group<kAmounts>> groups(front.empty() ? 0 : kGroups);
    if (groups.empty()) return groups;
    std::vector<double> prices;
    for (const auto& label : front) prices.push_back(price_of(label.amounts));
    const auto [least, most] = std::ranges::minmax_element(prices);
    const auto width = (*most - *least) / kGroups;
    for (auto& group : groups) group.least_price = std::numeric_limits<double>::infinity();
    for (const auto& taken : all_taken(front)) {
      const auto price = prices[taken.index];
      const auto g = width > 0 ? static_cast<std::size_t>((price - *least) / width) : 0;
      auto& group = groups[std::min(g, kGroups - 1)];
      group.least_price = std::min(group.least_price, price);
      group.labels.push_back(taken);
    }
    std::erase_if(groups, [](const auto& group) { return group.labels.empty(); });
    for (auto& group : groups) std::ranges::sort(group.labels, {}, at(time));
    return groups;
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
    if (static_cast<std::uint64_t>(amounts[kVram]) > costs_.within->vram_limit_bytes) return;
    Sides sides(costs_.units());
    first_.put(side, index, sides);
    last_.put(next, next_index, sides);
    if (!spent_by(costs_, sides).fits(costs_)) return;
    best_ = std::move(sides);
    known_ps_ = time_of(amounts);
  }

  [[nodiscard]] Picoseconds time_of(const Amounts<kAmounts>& amounts) const {
    auto time = amounts[kSerial];
    if constexpr (kAmounts > 2) {
      if (costs_.timing == Timing::overlapped) time = std::max({time, 2 * amounts[kCpu], 2 * amounts[kGpu]});
    }
    return static_cast<Picoseconds>(time);
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Picoseconds known_ps_;
  HalfSearch<kAmounts> first_;
  HalfSearch<kAmounts> last_;
  Fronts<kAmounts> next_;  ///< what both extend their labels into
  std::optional<Sides> best_;
};

template <std::size_t kAmounts>
std::function<SearchResult(LabelLimits&)> resumable(const CaseCosts& costs, const std::vector<Bound>& bounds,
                                                    Picoseconds known_ps) {
  auto search = std::make_shared<LabelSearch<kAmounts>>(costs, bounds, known_ps);
  return [search](LabelLimits& left) { return search->run(left); };
}

}  // namespace

SearchResult search_labels(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps,
                           LabelLimits& left) {
  return label_search(costs, bounds, known_ps)(left);
}

std::function<SearchResult(LabelLimits&)> label_search(const CaseCosts& costs,
                                                       const std::vector<Bound>& bounds,
                                                       Picoseconds known_ps) {
  if (costs.space->ram_may_bind) return resumable<6>(costs, bounds, known_ps);
  if (costs.timing == Timing::overlapped) return resumable<4>(costs, bounds, known_ps);
  return resumable<2>(costs, bounds, known_ps);
}

}  // namespace tandem::planner
