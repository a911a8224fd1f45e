#include "planner/label_search.h"

#include <algorithm>
#include <array>
#include <limits>
#include <utility>

namespace tandem::planner {
namespace {

/// What labels are compared by.  RAM only where it may bind, and the devices' own times only where they
/// overlap.
enum Amount : std::size_t { kVram, kSerial, kCpu, kGpu, kRam, kDrafts };

template <std::size_t kAmounts>
using Amounts = std::array<std::int64_t, kAmounts>;

template <std::size_t kAmounts>
struct Label {
  Amounts<kAmounts> amounts{};
  std::uint32_t origin = 0;  ///< index into the labels of the step before, times 2, and its side
};

/// Labels with the same last unit and side, in order.
template <std::size_t kAmounts>
class Front {
 public:
  void clear() noexcept { size_ = 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const Label<kAmounts>& operator[](std::size_t index) const noexcept {
    return labels_[kBefore + index];
  }

  /// Room for `labels`, to be put after all are cleared.
  void reserve(std::size_t labels) {
    if (labels_.size() < kBefore + labels) labels_.resize(kBefore + 2 * labels);
  }
  /// The latest one is 1 back.  Before the first one are two that take more than anything.
  [[nodiscard]] const Amounts<kAmounts>& back(std::size_t steps) const noexcept {
    return labels_[kBefore + size_ - steps].amounts;
  }
  /// Adds a label, or only writes it where the next one will be.
  void put_if(bool kept, const Label<kAmounts>& label) noexcept {
    labels_[kBefore + size_] = label;
    size_ += kept ? 1 : 0;
  }

 private:
  static constexpr std::size_t kBefore = 2;

  static Label<kAmounts> more_than_anything() {
    Label<kAmounts> label;
    label.amounts.fill(std::numeric_limits<std::int64_t>::max());
    return label;
  }

  std::vector<Label<kAmounts>> labels_{kBefore, more_than_anything()};
  std::size_t size_ = 0;
};

/// Which labels are kept of those with a unit on one side.  Half of them are not, in no order that a
/// processor could foresee: so it is decided without branches.
template <std::size_t kAmounts>
struct Sieve {
  static constexpr std::size_t kBounds = kAmounts == 2 ? 1 : 3;

  Amounts<kAmounts> most{};      ///< that can still come to something
  Amounts<kAmounts> harmless{};  ///< up to which it cannot matter any more
  std::array<std::array<double, kAmounts>, kBounds> prices{};
  std::array<double, kBounds> most_price{};
  bool needs_gpu = false;  ///< and units may be all there is

  [[nodiscard]] bool keeps(const Amounts<kAmounts>& amounts, const Front<kAmounts>& front) const noexcept {
    bool kept = true;
    for (std::size_t k = 0; k < kAmounts; ++k) kept &= amounts[k] <= most[k];
    for (std::size_t b = 0; b < kBounds; ++b) {
      double price = 0;
      for (std::size_t k = 0; k < kAmounts; ++k) price += prices[b][k] * static_cast<double>(amounts[k]);
      kept &= price <= most_price[b];
    }
    kept &= !dominates(front.back(1), amounts);
    if constexpr (kAmounts > 2) kept &= !dominates(front.back(2), amounts);
    return kept;
  }

 private:
  /// Takes no more of anything that still matters.
  [[nodiscard]] bool dominates(const Amounts<kAmounts>& amounts,
                               const Amounts<kAmounts>& other) const noexcept {
    bool no_more = !needs_gpu || amounts[kVram] != 0 || other[kVram] == 0;
    for (std::size_t k = 0; k < kAmounts; ++k) no_more &= amounts[k] <= std::max(other[k], harmless[k]);
    return no_more;
  }
};

template <std::size_t kAmounts>
class LabelSearch {
 public:
  LabelSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps,
              std::size_t& labels_left)
      : costs_(costs),
        bounds_(bounds),
        labels_left_(labels_left),
        known_ps_(known_ps),
        order_(bounds.front().prices().vram > 0 ? kVram : kSerial) {
    add_up_rests();
  }

  SearchResult run() {
    for (const auto side : {kOnCpu, kOnGpu}) begin(side);
    for (std::size_t i = 1; i < costs_.units(); ++i) {
      for (const auto to : {kOnCpu, kOnGpu}) extend(i, to);
      std::swap(fronts_, next_);
      keep();
      if (labels_left_ == 0) return {std::nullopt, 0, false};
    }
    return finish();
  }

 private:
  using Values = Amounts<kAmounts>;

  static Values amounts_of(const Spent& spent) {
    const std::array<std::uint64_t, 6> all{spent.vram_bytes,      spent.serial_ps(), spent.busy_ps[kOnCpu],
                                           spent.busy_ps[kOnGpu], spent.ram_bytes,   spent.drafts_bytes};
    Values amounts{};
    for (std::size_t k = 0; k < kAmounts; ++k) amounts[k] = static_cast<std::int64_t>(all[k]);
    return amounts;
  }

  /// `limit` less what is to come.
  static std::int64_t left(std::uint64_t limit, std::uint64_t to_come) {
    constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
    return limit > to_come ? static_cast<std::int64_t>(std::min(kMost, limit - to_come)) : 0;
  }

  /// What the units from each one on take at most, wherever they are.
  void add_up_rests() {
    const auto& costs = *costs_.costs;
    Spent most;
    most.busy_ps = {costs.head_ps[kOnCpu] + costs.stage_ps[kOnCpu] + costs.always.cpu_ps,
                    costs.head_ps[kOnGpu] + costs.stage_ps[kOnGpu] + costs.always.gpu_ps};
    most.travel_ps = costs.crossing_ps + costs.always.crossing_ps;
    rests_.resize(costs_.units() + 1);
    rests_.back() = most;
    for (auto i = costs_.units(); i-- > 0;) {
      const auto travel_ps = most.travel_ps + costs.crossing_ps;
      for (const auto side : {kOnCpu, kOnGpu}) most.add(costs_, i, CaseCosts::kStart, side);
      most.travel_ps = travel_ps;
      rests_[i] = most;
    }
  }

  /// For labels of units up to `i`, that one on `side`.
  [[nodiscard]] Sieve<kAmounts> sieve(std::size_t i, std::size_t side) const {
    Sieve<kAmounts> sieve;
    const auto& rest = rests_[i + 1];
    // No placement is faster than the bound, so times that stay below it decide nothing.
    const auto least_ps = static_cast<Picoseconds>(std::max(0.0, bounds_.front().root() * (1 - 1e-9) - 1));
    sieve.most[kVram] = left(costs_.within->vram_limit_bytes, 0);
    sieve.most[kSerial] = left(known_ps_, 1);
    sieve.harmless[kVram] = left(costs_.within->vram_limit_bytes, rest.vram_bytes);
    if constexpr (kAmounts > 2) {
      if (costs_.timing == Timing::serial) {
        sieve.most[kCpu] = sieve.most[kGpu] = sieve.most[kSerial];
        sieve.harmless[kCpu] = sieve.harmless[kGpu] = sieve.most[kSerial];
      } else {
        sieve.most[kCpu] = sieve.most[kGpu] = sieve.most[kSerial] / 2;
        sieve.harmless[kSerial] = left(least_ps, rest.serial_ps());
        sieve.harmless[kCpu] = left(least_ps / 2, rest.busy_ps[kOnCpu]);
        sieve.harmless[kGpu] = left(least_ps / 2, rest.busy_ps[kOnGpu]);
      }
    }
    if constexpr (kAmounts > 4) {
      const auto limit = costs_.ram_limit_bytes();
      sieve.most[kRam] = sieve.most[kDrafts] = left(limit, 0);
      sieve.harmless[kRam] =
          left(limit, rest.ram_bytes + rests_.front().drafts_bytes + kBufferAlignmentBytes);
    }
    sieve.most_price.fill(std::numeric_limits<double>::infinity());
    for (std::size_t b = 0; b < std::min(sieve.prices.size(), bounds_.size()); ++b) {
      const auto& prices = bounds_[b].prices();
      const std::array all{prices.vram,    prices.serial, 2 * prices.cpu,
                           2 * prices.gpu, prices.ram,    prices.ram};
      std::copy_n(all.begin(), kAmounts, sieve.prices[b].begin());
      sieve.most_price[b] = bounds_[b].most_before(i + 1, side, known_ps_);
    }
    sieve.needs_gpu = costs_.lacks_gpu(0);
    return sieve;
  }

  void begin(std::size_t side) {
    if (!costs_.allows(0, side)) return;
    Spent spent;
    spent.add(costs_, 0, CaseCosts::kStart, side);
    fronts_[side].reserve(1);
    const auto amounts = amounts_of(spent);
    fronts_[side].put_if(sieve(0, side).keeps(amounts, fronts_[side]), {amounts, 0});
  }

  /// All labels with unit `i` on `to`.
  void extend(std::size_t i, std::size_t to) {
    auto& into = next_[to];
    into.clear();
    if (!costs_.allows(i, to)) return;
    into.reserve(fronts_[kOnCpu].size() + fronts_[kOnGpu].size() + 1);
    const auto kept = sieve(i, to);
    std::array<Values, 2> steps;
    for (const auto from : {kOnCpu, kOnGpu}) {
      Spent step;
      step.add(costs_, i, from, to);
      steps[from] = amounts_of(step);
    }
    std::array<std::size_t, 2> at{};
    const auto offer = [&](std::size_t from) {
      auto label = fronts_[from][at[from]];
      for (std::size_t k = 0; k < kAmounts; ++k) label.amounts[k] += steps[from][k];
      label.origin = static_cast<std::uint32_t>(2 * at[from] + from);
      into.put_if(kept.keeps(label.amounts, into), label);
      ++at[from];
    };
    const auto order_of = [&](std::size_t from) {
      return fronts_[from][at[from]].amounts[order_] + steps[from][order_];
    };
    while (at[kOnCpu] < fronts_[kOnCpu].size() && at[kOnGpu] < fronts_[kOnGpu].size())
      offer(order_of(kOnGpu) < order_of(kOnCpu) ? kOnGpu : kOnCpu);
    for (const auto from : {kOnCpu, kOnGpu}) {
      while (at[from] < fronts_[from].size()) offer(from);
    }
  }

  /// Remembers where labels came from.
  void keep() {
    auto& origins = origins_.emplace_back();
    for (const auto side : {kOnCpu, kOnGpu}) {
      const auto& front = fronts_[side];
      labels_left_ -= std::min(labels_left_, front.size());
      origins[side].resize(front.size());
      for (std::size_t index = 0; index < front.size(); ++index) origins[side][index] = front[index].origin;
    }
  }

  [[nodiscard]] std::vector<std::uint8_t> sides_of(std::size_t side, std::size_t index) const {
    std::vector<std::uint8_t> sides(costs_.units());
    for (auto i = sides.size(); i-- > 0;) {
      sides[i] = static_cast<std::uint8_t>(side);
      if (i == 0) break;
      const auto origin = origins_[i - 1][side][index];
      side = origin % 2;
      index = origin / 2;
    }
    return sides;
  }

  [[nodiscard]] Picoseconds time_of(const Values& amounts) const {
    auto time = amounts[kSerial];
    if constexpr (kAmounts > 2) {
      if (costs_.timing == Timing::overlapped) time = std::max({time, 2 * amounts[kCpu], 2 * amounts[kGpu]});
    }
    return static_cast<Picoseconds>(time);
  }

  [[nodiscard]] SearchResult finish() const {
    SearchResult found{std::nullopt, known_ps_, true};
    for (const auto side : {kOnCpu, kOnGpu}) {
      Spent head;
      head.add_head(costs_, side);
      const auto last = amounts_of(head);
      for (std::size_t index = 0; index < fronts_[side].size(); ++index) {
        auto amounts = fronts_[side][index].amounts;
        for (std::size_t k = 0; k < kAmounts; ++k) amounts[k] += last[k];
        if (time_of(amounts) >= found.time_ps) continue;
        auto sides = sides_of(side, index);
        if (spent_by(costs_, sides).fits(costs_)) found = {std::move(sides), time_of(amounts), true};
      }
    }
    return found;
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  std::size_t& labels_left_;
  Picoseconds known_ps_;
  std::size_t order_;  ///< the amount that labels are ordered by: what is scarce
  std::vector<Spent> rests_;
  std::array<Front<kAmounts>, 2> fronts_;  ///< by side
  std::array<Front<kAmounts>, 2> next_;
  std::vector<std::array<std::vector<std::uint32_t>, 2>> origins_;  ///< of each step but the first, by side
};

}  // namespace

SearchResult search_labels(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps,
                           std::size_t& labels_left) {
  if (costs.space->ram_may_bind) return LabelSearch<6>(costs, bounds, known_ps, labels_left).run();
  if (costs.timing == Timing::overlapped) return LabelSearch<4>(costs, bounds, known_ps, labels_left).run();
  return LabelSearch<2>(costs, bounds, known_ps, labels_left).run();
}

}  // namespace tandem::planner
