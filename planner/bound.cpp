#include "planner/bound.h"

#include <algorithm>
#include <iterator>
#include <limits>
#include <optional>
#include <utility>

#include "planner/byte_count.h"

namespace tandem::planner {
namespace {

using Sides = std::vector<std::uint8_t>;

constexpr std::size_t kPriceSteps = 24;   ///< of the price of VRAM, at most
constexpr std::size_t kRamSteps = 12;     ///< of the price of RAM
constexpr std::size_t kWeightSteps = 14;  ///< of the golden section
constexpr std::ptrdiff_t kFewBounds = 2;  ///< that are kept of one time alone
constexpr double kLeastVramPrice = 1e-6;  ///< to begin with
constexpr double kMostVramPrice = 1e12;
constexpr double kRootPrecision = 1e-9;
constexpr double kImpossible = std::numeric_limits<double>::infinity();

/// Finds good prices for one case.
class PriceSearch {
 public:
  PriceSearch(const CaseCosts& costs, Picoseconds known_ps, std::vector<Sides>& tried)
      : costs_(costs), known_ps_(known_ps), tried_(tried) {}

  std::vector<Bound> run() {
    search_weights();
    if (std::ssize(found_) > kFewBounds) add_neighbours();
    std::ranges::stable_sort(found_, std::ranges::greater{}, &Bound::root);
    return std::move(found_);
  }

 private:
  void search_weights() {
    search_ram({0, 0, 0, 0, 1});
    if (costs_.timing == Timing::serial) return;
    for (const double cpu : {1.0, 0.0}) {
      if (found_.back().dismisses(known_ps_)) return;
      root_at(cpu);
    }
    if (found_.back().dismisses(known_ps_)) return;
    const auto alone = found_.size();
    best_part([this](double cpu) { return root_at(cpu); });
    const auto weighted = found_.begin() + static_cast<std::ptrdiff_t>(alone);
    std::iter_swap(weighted, std::ranges::max_element(weighted, found_.end(), {}, &Bound::root));
    found_.erase(weighted + 1, found_.end());
  }

  /// In place of those for one time alone: a few of the next best one's prices in the best one's, and another
  /// price for VRAM.  Each dismisses what is near the best one and of no interest.
  void add_neighbours() {
    constexpr double kOfNext = 0.15;
    constexpr double kCheaper = 0.3;
    constexpr double kFree = 1e-4;  ///< where VRAM does not bind
    constexpr double kCheap = 0.03;
    std::ranges::stable_sort(found_, std::ranges::greater{}, &Bound::root);
    found_.erase(found_.begin() + kFewBounds, found_.end());
    const auto best = found_[0].prices();
    const auto next = found_[1].prices();
    const auto mixed = [](double price, double other) { return (1 - kOfNext) * price + kOfNext * other; };
    found_.emplace_back(costs_, Bound::Prices{mixed(best.vram, next.vram), mixed(best.ram, next.ram),
                                              mixed(best.cpu, next.cpu), mixed(best.gpu, next.gpu),
                                              mixed(best.serial, next.serial)});
    auto cheaper = best;
    cheaper.vram = best.vram < kFree ? kCheap : best.vram * kCheaper;
    found_.emplace_back(costs_, cheaper);
  }

  /// The highest bound, whatever bytes cost, where the CPU's time counts for `cpu` and the GPU's for the rest
  /// of 2.  As much of either as the other has counts on the way through, which alone has the crossings: the
  /// bound is then never lower.
  double root_at(double cpu) {
    search_ram({0, 0, std::max(0.0, 2 * cpu - 1), std::max(0.0, 1 - 2 * cpu), 2 * std::min(cpu, 1 - cpu)});
    return found_.back().root();
  }

  /// Searches for where `value`, concave in 0 to 1, is highest: by golden section.
  template <typename Value>
  static void best_part(Value value) {
    constexpr double kRatio = 0.6180339887498949;
    double low = 0;
    double high = 1;
    auto left = high - kRatio * (high - low);
    auto right = low + kRatio * (high - low);
    auto left_value = value(left);
    auto right_value = value(right);
    for (std::size_t step = 0; step < kWeightSteps; ++step) {
      if (left_value < right_value) {
        low = std::exchange(left, right);
        left_value = right_value;
        right = low + kRatio * (high - low);
        right_value = value(right);
      } else {
        high = std::exchange(right, left);
        right_value = left_value;
        left = high - kRatio * (high - low);
        left_value = value(left);
      }
    }
  }

  /// Raises the price of RAM until it is kept to; the best bound without one and with it are found.
  void search_ram(Bound::Prices prices) {
    best_.reset();
    const bool fits = fits_ram(search_vram(prices));
    found_.push_back(*best_);
    if (fits || !costs_.space->ram_may_bind) return;
    auto high = 1.0;
    prices.ram = high;
    while (!fits_ram(search_vram(prices)) && high < 1e12) prices.ram = high *= 8;
    double low = 0;
    for (std::size_t step = 0; step < kRamSteps; ++step) {
      prices.ram = (low + high) / 2;
      (fits_ram(search_vram(prices)) ? high : low) = prices.ram;
    }
    found_.push_back(std::move(*best_));
  }

  /// The bound at a price of VRAM, and by how much the cheapest placement there takes more than there is:
  /// the bound's slope.
  struct Tangent {
    double vram = 0;
    double root = 0;
    double slope = 0;
    Spent spent;

    [[nodiscard]] double at(double price) const { return root + slope * (price - vram); }
    /// Of one that rises and one that does not.
    [[nodiscard]] double meets(const Tangent& other) const {
      return vram + (other.at(vram) - root) / (slope - other.slope);
    }
  };

  /// Raises the price of VRAM until it is kept to, to where the bound is highest; what the cheapest placement
  /// that keeps to it takes.  The bound is concave, and straight between few prices: so where the tangents at
  /// a price too low and one too high meet, it soon is as high as they are.
  Spent search_vram(Bound::Prices prices) {
    auto low = tangent(prices, 0);
    if (low.slope <= 0) return low.spent;
    auto high = tangent(prices, vram_price_);
    while (high.slope > 0 && high.vram < kMostVramPrice) {
      low = high;
      high = tangent(prices, 8 * low.vram);
    }
    for (std::size_t step = 0; high.slope <= 0 && step < kPriceSteps; ++step) {
      const auto between = tangent(prices, low.meets(high));
      const bool is_highest = between.root >= low.at(between.vram) * (1 - kRootPrecision);
      (between.slope > 0 ? low : high) = between;
      if (is_highest) break;
    }
    vram_price_ = std::max(kLeastVramPrice, high.vram);
    return high.spent;
  }

  Tangent tangent(Bound::Prices prices, double vram) {
    prices.vram = vram;
    const auto spent = evaluate(prices);
    const auto limit = static_cast<double>(costs_.within->vram_limit_bytes);
    return {vram, last_root_, static_cast<double>(spent.vram_bytes) - limit, spent};
  }

  Spent evaluate(const Bound::Prices& prices) {
    Bound bound(costs_, prices);
    last_root_ = bound.root();
    if (bound.root() == kImpossible) {
      if (!best_) best_ = std::move(bound);
      return {};
    }
    auto sides = bound.cheapest();
    const auto spent = spent_by(costs_, sides);
    if (!best_ || bound.root() > best_->root()) best_ = std::move(bound);
    if (spent.fits(costs_)) tried_.push_back(std::move(sides));
    return spent;
  }

  [[nodiscard]] bool fits_vram(const Spent& spent) const {
    return spent.vram_bytes <= costs_.within->vram_limit_bytes;
  }
  [[nodiscard]] bool fits_ram(const Spent& spent) const {
    return spent.ram_bytes + spent.drafts_bytes <= costs_.ram_limit_bytes();
  }

  const CaseCosts& costs_;
  Picoseconds known_ps_;
  std::vector<Sides>& tried_;
  double vram_price_ = 1;  ///< the last one that was found
  double last_root_ = 0;
  std::optional<Bound> best_;  ///< since the weights were last changed
  std::vector<Bound> found_;
};

}  // namespace

void Spent::add(const CaseCosts& costs, std::size_t i, std::size_t from, std::size_t to) noexcept {
  const auto& unit = costs.space->units[i];
  change(costs, from, to);
  busy_ps[to] += costs.costs->unit_ps[i][to];
  if (to == kOnGpu) {
    vram_bytes += unit.vram_bytes;
    return;
  }
  ram_bytes += unit.ram_bytes;
  drafts_bytes += unit.drafts_bytes;
}

void Spent::change(const CaseCosts& costs, std::size_t from, std::size_t to) noexcept {
  busy_ps[to] += costs.entry_ps(from, to);
  travel_ps += costs.travel_ps(from, to);
}

void Spent::add_head(const CaseCosts& costs, std::size_t from) noexcept {
  const auto head = costs.within->head;
  change(costs, from, head);
  busy_ps[head] += costs.costs->head_ps[head];
  const auto& always = costs.costs->always;
  busy_ps[kOnCpu] += always.cpu_ps;
  busy_ps[kOnGpu] += always.gpu_ps;
  travel_ps += always.crossing_ps;
}

bool Spent::fits(const CaseCosts& costs) const noexcept {
  const auto drafts =
      (drafts_bytes + kBufferAlignmentBytes - 1) / kBufferAlignmentBytes * kBufferAlignmentBytes;
  return vram_bytes <= costs.within->vram_limit_bytes && ram_bytes + drafts <= costs.ram_limit_bytes() &&
         !costs.lacks_gpu(vram_bytes);
}

Spent spent_by(const CaseCosts& costs, const Sides& sides) {
  Spent spent;
  std::size_t from = CaseCosts::kStart;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    spent.add(costs, i, from, sides[i]);
    from = sides[i];
  }
  spent.add_head(costs, from);
  return spent;
}

Spent spent_at(const CaseCosts& costs, const Sides& sides, std::size_t i) {
  Spent spent;
  spent.add(costs, i, i == 0 ? CaseCosts::kStart : sides[i - 1], sides[i]);
  spent.change(costs, sides[i], i + 1 < sides.size() ? sides[i + 1] : costs.within->head);
  return spent;
}

void Bound::price_units(const CaseCosts& costs) {
  const auto head = costs.within->head;
  unit_.assign(costs.units() + 1, {kImpossible, kImpossible});
  for (std::size_t i = 0; i < costs.units(); ++i) {
    const auto& unit = costs.space->units[i];
    const auto& times = costs.costs->unit_ps[i];
    if (costs.allows(i, kOnCpu)) {
      unit_[i][kOnCpu] = busy_price(kOnCpu) * static_cast<double>(times[kOnCpu]) +
                         prices_.ram * static_cast<double>(unit.ram_bytes + unit.drafts_bytes);
    }
    if (costs.allows(i, kOnGpu)) {
      unit_[i][kOnGpu] = busy_price(kOnGpu) * static_cast<double>(times[kOnGpu]) +
                         prices_.vram * static_cast<double>(unit.vram_bytes);
    }
  }
  unit_.back()[head] = busy_price(head) * static_cast<double>(costs.costs->head_ps[head]);
}

void Bound::price_passing(const CaseCosts& costs) {
  for (std::size_t from = 0; from <= CaseCosts::kStart; ++from) {
    for (const auto to : {kOnCpu, kOnGpu}) {
      passing_[from][to] = prices_.serial * static_cast<double>(costs.travel_ps(from, to)) +
                           busy_price(to) * static_cast<double>(costs.entry_ps(from, to));
    }
  }
}

Bound::Bound(const CaseCosts& costs, const Prices& prices) : prices_(prices) {
  limits_ = prices.vram * static_cast<double>(costs.within->vram_limit_bytes) +
            prices.ram * static_cast<double>(costs.ram_limit_bytes());
  const auto& always = costs.costs->always;
  always_ = busy_price(kOnCpu) * static_cast<double>(always.cpu_ps) +
            busy_price(kOnGpu) * static_cast<double>(always.gpu_ps) +
            prices.serial * static_cast<double>(always.crossing_ps);
  limits_ -= always_;
  price_units(costs);
  price_passing(costs);
  rest_.resize(unit_.size() + 1);
  for (auto i = unit_.size(); i-- > 0;) {
    const auto cpu = unit_[i][kOnCpu] + rest_[i + 1][kOnCpu];
    const auto gpu = unit_[i][kOnGpu] + rest_[i + 1][kOnGpu];
    for (std::size_t from = 0; from <= CaseCosts::kStart; ++from) {
      rest_[i][from] = std::min(passing_[from][kOnCpu] + cpu, passing_[from][kOnGpu] + gpu);
    }
  }
  root_ = rest_[0][CaseCosts::kStart] - limits_;
}

Sides Bound::cheapest() const {
  Sides sides;
  sides.reserve(unit_.size());
  std::size_t from = CaseCosts::kStart;
  for (std::size_t i = 0; i + 1 < unit_.size(); ++i) {
    const auto cpu = passing_[from][kOnCpu] + unit_[i][kOnCpu] + rest_[i + 1][kOnCpu];
    const auto gpu = passing_[from][kOnGpu] + unit_[i][kOnGpu] + rest_[i + 1][kOnGpu];
    from = gpu <= cpu ? kOnGpu : kOnCpu;
    sides.push_back(static_cast<std::uint8_t>(from));
  }
  return sides;
}

std::vector<std::array<double, 2>> Bound::before() const {
  std::vector<std::array<double, 2>> before{passing_[CaseCosts::kStart]};
  for (std::size_t i = 0; i + 2 < unit_.size(); ++i) {
    const auto cpu = before[i][kOnCpu] + unit_[i][kOnCpu];
    const auto gpu = before[i][kOnGpu] + unit_[i][kOnGpu];
    before.push_back({std::min(cpu + passing_[kOnCpu][kOnCpu], gpu + passing_[kOnGpu][kOnCpu]),
                      std::min(cpu + passing_[kOnCpu][kOnGpu], gpu + passing_[kOnGpu][kOnGpu])});
  }
  return before;
}

std::vector<Bound> Bound::good_ones(const CaseCosts& costs, Picoseconds known_ps, std::vector<Sides>& tried) {
  return PriceSearch(costs, known_ps, tried).run();
}

}  // namespace tandem::planner
