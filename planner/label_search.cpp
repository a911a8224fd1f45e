#include "planner/label_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <optional>
#include <utility>

#include "planner/byte_count.h"
#include "planner/label_front.h"

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

constexpr std::size_t kPairsALabel = 16;  ///< that take as long

template <std::size_t kAmounts>
Amounts<kAmounts> amounts_of(const Spent& spent) {
  const std::array<std::uint64_t, 6> all{spent.vram_bytes,      spent.serial_ps(), spent.busy_ps[kOnCpu],
                                         spent.busy_ps[kOnGpu], spent.ram_bytes,   spent.drafts_bytes};
  Amounts<kAmounts> amounts{};
  for (std::size_t k = 0; k < kAmounts; ++k) amounts[k] = static_cast<std::int64_t>(all[k]);
  return amounts;
}

/// `limit` less what else there is.
std::int64_t room(std::uint64_t limit, std::uint64_t else_there) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return limit > else_there ? static_cast<std::int64_t>(std::min(kMost, limit - else_there)) : 0;
}

/// Which units the labels of a half are of.
enum class Half { first, last };

/// Labels of the first units, or of the last ones and the head, one unit more at a time.
template <std::size_t kAmounts>
class HalfSearch {
 public:
  HalfSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps, Half half)
      : costs_(costs),
        bounds_(bounds),
        known_ps_(known_ps),
        half_(half),
        fronts_{Fronts{Front<kAmounts>(order()), Front<kAmounts>(order())},
                Fronts{Front<kAmounts>(order()), Front<kAmounts>(order())}} {
    if (half == Half::last) {
      for (const auto& bound : bounds) before_.push_back(bound.before());
    }
    add_up_rests();
    for (const auto side : {kOnCpu, kOnGpu}) begin(side);
    reached_ = 1;
  }

  /// Units in labels.
  [[nodiscard]] std::size_t reached() const noexcept { return reached_; }
  /// None was dropped that might come to something.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  /// Labels whose newest unit is on `side`.
  [[nodiscard]] const Front<kAmounts>& front(std::size_t side) const noexcept { return fronts_[now_][side]; }
  [[nodiscard]] std::size_t size() const noexcept { return front(kOnCpu).size() + front(kOnGpu).size(); }

  void extend(LabelLimits& left) {
    const auto i = unit(reached_);
    auto& after = fronts_[1 - now_];
    for (const auto to : {kOnCpu, kOnGpu}) {
      after[to].clear();
      if (!costs_.allows(i, to)) continue;
      complete_ &= after[to].merge(fronts_[now_], {step(i, kOnCpu, to), step(i, kOnGpu, to)}, sieve(i, to),
                                   left.abreast);
    }
    now_ = 1 - now_;
    ++reached_;
    auto& origins = origins_.emplace_back();
    for (const auto side : {kOnCpu, kOnGpu}) {
      const auto* from = front(side).origins();
      origins[side].assign(from, from + front(side).size());
    }
    left.labels -= std::min(left.labels, size());
  }

  /// Puts the units of a label where they are.
  void put(std::size_t side, std::size_t index, Sides& sides) const {
    for (auto at = reached_; at-- > 0;) {
      sides[unit(at)] = static_cast<std::uint8_t>(side);
      if (at == 0) return;
      const auto origin = origins_[at - 1][side][index];
      side = origin % 2;
      index = origin / 2;
    }
  }

 private:
  using Fronts = std::array<Front<kAmounts>, 2>;

  /// What labels are ordered by: what is scarce.
  [[nodiscard]] Amount order() const { return bounds_.front().prices().vram > 0 ? kVram : kSerial; }

  /// The unit that is number `at` in labels.
  [[nodiscard]] std::size_t unit(std::size_t at) const {
    return half_ == Half::first ? at : costs_.units() - 1 - at;
  }

  /// What is not in labels of so many units takes at most, wherever it is.
  void add_up_rests() {
    const auto& costs = *costs_.costs;
    Spent most;
    most.busy_ps = costs.stage_ps;
    most.travel_ps = costs.crossing_ps;
    if (half_ == Half::first) {
      most.busy_ps[kOnCpu] += costs.head_ps[kOnCpu] + costs.always.cpu_ps;
      most.busy_ps[kOnGpu] += costs.head_ps[kOnGpu] + costs.always.gpu_ps;
      most.travel_ps += costs.always.crossing_ps;
    }
    rests_.assign(costs_.units() + 1, most);
    for (auto at = costs_.units(); at-- > 0;) {
      const auto travel_ps = most.travel_ps + costs.crossing_ps;
      for (const auto side : {kOnCpu, kOnGpu}) most.add(costs_, unit(at), CaseCosts::kStart, side);
      most.travel_ps = travel_ps;
      rests_[at] = most;
    }
  }

  /// For labels whose newest unit is `i`, on `side`.
  [[nodiscard]] Sieve<kAmounts> sieve(std::size_t i, std::size_t side) const {
    Sieve<kAmounts> sieve;
    const auto& rest = rests_[reached_ + 1];
    // No placement is faster than the bound, so times that stay below it decide nothing.
    const auto least_ps = static_cast<Picoseconds>(std::max(0.0, bounds_.front().root() * (1 - 1e-9) - 1));
    const auto vram = costs_.within->vram_limit_bytes;
    sieve.most_vram = room(vram, 0);
    sieve.harmless[kVram] = room(vram, rest.vram_bytes);
    if constexpr (kAmounts > 2) {
      if (costs_.timing == Timing::serial) {
        sieve.harmless[kCpu] = sieve.harmless[kGpu] = room(known_ps_, 1);
      } else {
        sieve.harmless[kSerial] = room(least_ps, rest.serial_ps());
        sieve.harmless[kCpu] = room(least_ps / 2, rest.busy_ps[kOnCpu]);
        sieve.harmless[kGpu] = room(least_ps / 2, rest.busy_ps[kOnGpu]);
      }
    }
    if constexpr (kAmounts > 4) {
      const auto drafts = rests_.front().drafts_bytes + kBufferAlignmentBytes;
      sieve.harmless[kRam] = room(costs_.ram_limit_bytes(), rest.ram_bytes + drafts);
    }
    sieve.most_price.fill(std::numeric_limits<double>::infinity());
    for (std::size_t b = 0; b < std::min(sieve.most_price.size(), bounds_.size()); ++b) {
      sieve.most_price[b] = half_ == Half::first ? bounds_[b].most_before(i + 1, side, known_ps_)
                                                 : bounds_[b].most_in_all(known_ps_) - before_[b][i][side];
    }
    sieve.needs_gpu = costs_.lacks_gpu(0);
    return sieve;
  }

  [[nodiscard]] Label<kAmounts> label_of(const Spent& spent) const {
    Label<kAmounts> label;
    label.amounts = amounts_of<kAmounts>(spent);
    for (std::size_t b = 0; b < std::min(label.prices.size(), bounds_.size()); ++b)
      label.prices[b] = bounds_[b].prices().of(spent);
    return label;
  }

  /// What unit `i` on `to` adds beside one on `neighbour`, before it or after it.
  [[nodiscard]] Label<kAmounts> step(std::size_t i, std::size_t neighbour, std::size_t to) const {
    Spent spent;
    spent.add(costs_, i, half_ == Half::first ? neighbour : to, to);
    if (half_ == Half::last) spent.change(costs_, to, neighbour);
    return label_of(spent);
  }

  void begin(std::size_t side) {
    const auto i = unit(0);
    if (!costs_.allows(i, side)) return;
    Spent spent;
    spent.add(costs_, i, half_ == Half::first ? CaseCosts::kStart : side, side);
    if (half_ == Half::last) spent.add_head(costs_, side);
    const auto label = label_of(spent);
    if (sieve(i, side).passes(label)) fronts_[now_][side].begin(label);
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Picoseconds known_ps_;
  Half half_;
  std::vector<std::vector<std::array<double, 2>>> before_;  ///< Bound::before of each, for the last half
  std::vector<Spent> rests_;
  std::size_t reached_ = 0;
  bool complete_ = true;
  std::array<Fronts, 2> fronts_;  ///< by turns now and next
  std::size_t now_ = 0;
  std::vector<std::array<std::vector<std::uint32_t>, 2>> origins_;  ///< of each unit but the first, by side
};

/// A label by its time.
struct Timed {
  std::int64_t time = 0;
  std::uint32_t index = 0;
};

/// Labels whose prices are close, the shortest first.
struct Group {
  double least_price = 0;
  std::vector<Timed> labels;
};

template <std::size_t kAmounts>
class LabelSearch {
 public:
  LabelSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps)
      : costs_(costs),
        bounds_(bounds),
        known_ps_(known_ps),
        first_(costs, bounds, known_ps, Half::first),
        last_(costs, bounds, known_ps, Half::last) {}

  /// Goes on until no labels are left.
  SearchResult run(LabelLimits& left) {
    while (first_.reached() + last_.reached() < costs_.units()) {
      if (left.labels == 0) return {std::nullopt, 0, false};
      (first_.size() <= last_.size() ? first_ : last_).extend(left);
    }
    if (kAmounts == 2 && first_.front(kOnCpu).order() == kVram && !costs_.lacks_gpu(0)) {
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
    const auto& before = first_.front(side);
    const auto& after = last_.front(next);
    const auto vram = static_cast<std::int64_t>(costs_.within->vram_limit_bytes);
    auto fitting = after.size();
    for (std::size_t i = 0; i < before.size(); ++i) {
      while (fitting > 0 && after.amounts(kVram)[fitting - 1] > vram - before.amounts(kVram)[i]) --fitting;
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
      const auto before = longest_first(first_.front(side), time);
      for (const auto next : {kOnCpu, kOnGpu}) join(side, before, next, after[next], {time, weight}, left);
    }
  }

  struct Weighed {
    Amount time = kSerial;
    double weight = 0;
  };

  void join(std::size_t side, const std::vector<Timed>& before, std::size_t next,
            const std::vector<Group>& groups, Weighed weighed, LabelLimits& left) {
    if (before.empty() || groups.empty()) return;
    const auto change = change_of(side, next);
    const auto change_time = amounts_of<kAmounts>(change)[weighed.time];
    const auto change_price = bounds_.front().prices().of(change);
    const auto steps = weighed.time == kSerial ? 1 : 2;  // two of a device's own overlap
    const auto known = static_cast<double>(known_ps_);
    const auto below = (known - bounds_.front().root()) / weighed.weight + 1e-9 * known + 1;
    const auto least = static_cast<std::int64_t>(std::max(0.0, known - below) / steps) - change_time;
    std::vector<std::size_t> begins(groups.size());
    std::size_t pairs = 0;
    for (const auto& [taken, index] : before) {
      if (pairs / kPairsALabel >= left.labels) break;
      const auto most_price =
          bounds_.front().most_in_all(known_ps_) - change_price - first_.front(side).prices(0)[index];
      const auto most = static_cast<std::int64_t>(known_ps_ - 1) / steps - change_time - taken;
      for (std::size_t g = 0; g < groups.size() && groups[g].least_price <= most_price; ++g) {
        const auto& labels = groups[g].labels;
        auto& begin = begins[g];
        while (begin < labels.size() && labels[begin].time < least - taken) ++begin;
        for (auto at = begin; at < labels.size() && labels[at].time <= most; ++at, ++pairs)
          offer(side, index, next, labels[at].index);
      }
    }
    left.labels -= std::min(left.labels, pairs / kPairsALabel);
  }

  [[nodiscard]] Weighed weightiest() const {
    const auto& prices = bounds_.front().prices();
    if constexpr (kAmounts > 2) {
      if (prices.cpu > std::max(prices.gpu, prices.serial)) return {kCpu, prices.cpu};
      if (prices.gpu > prices.serial) return {kGpu, prices.gpu};
    }
    return {kSerial, prices.serial};
  }

  static std::vector<Timed> longest_first(const Front<kAmounts>& front, Amount time) {
    std::vector<Timed> labels;
    labels.reserve(front.size());
    for (std::uint32_t index = 0; index < front.size(); ++index)
      labels.push_back({front.amounts(time)[index], index});
    std::ranges::sort(labels, std::ranges::greater{}, &Timed::time);
    return labels;
  }

  static std::vector<Group> grouped(const Front<kAmounts>& front, Amount time) {
    constexpr std::size_t kGroups = 16;
    std::vector<Group> groups(front.size() == 0 ? 0 : kGroups);
    if (groups.empty()) return groups;
    const auto* prices = front.prices(0);
    const auto [least, most] = std::minmax_element(prices, prices + front.size());
    const auto width = (*most - *least) / kGroups;
    for (std::size_t g = 0; g < kGroups; ++g) groups[g].least_price = std::numeric_limits<double>::infinity();
    for (std::uint32_t index = 0; index < front.size(); ++index) {
      const auto g = width > 0 ? static_cast<std::size_t>((prices[index] - *least) / width) : 0;
      auto& group = groups[std::min(g, kGroups - 1)];
      group.least_price = std::min(group.least_price, prices[index]);
      group.labels.push_back({front.amounts(time)[index], index});
    }
    std::erase_if(groups, [](const Group& group) { return group.labels.empty(); });
    for (auto& group : groups) std::ranges::sort(group.labels, {}, &Timed::time);
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
      amounts[k] += first_.front(side).amounts(k)[index] + last_.front(next).amounts(k)[next_index];
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
