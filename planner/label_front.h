#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace tandem::planner {

/// What labels are compared by: the first 2 of these, where devices overlap also their own times, and where
/// RAM may bind all.
enum Amount : std::size_t { kVram, kSerial, kCpu, kGpu, kRam, kDrafts };

template <std::size_t kAmounts>
using Amounts = std::array<std::int64_t, kAmounts>;

/// Of how many bounds a label's price is known.
template <std::size_t kAmounts>
inline constexpr std::size_t kLabelBounds = kAmounts == 2 ? 1 : 4;

template <std::size_t kAmounts>
using LabelPrices = std::array<double, kLabelBounds<kAmounts>>;

/// What a run of units takes, or one unit adds to it, and its price by each bound.
template <std::size_t kAmounts>
struct Label {
  Amounts<kAmounts> amounts{};
  LabelPrices<kAmounts> prices{};
};

/// `action` with 0 to kCount - 1, each written out: what is done to every label must not be a loop.
template <std::size_t kCount, typename Action>
inline void for_each_index(Action action) {
  [&]<std::size_t... index>(std::index_sequence<index...>) {
    (action(index), ...);
  }
  (std::make_index_sequence<kCount>{});
}

/// What labels are held against.
template <std::size_t kAmounts>
struct Sieve {
  std::int64_t most_vram = 0;          ///< that fits
  LabelPrices<kAmounts> most_price{};  ///< that can still come to something
  Amounts<kAmounts> harmless{};        ///< amounts up to which it cannot matter any more
  bool needs_gpu = false;              ///< what has nothing on the GPU may come to nothing

  [[nodiscard]] bool passes(const Label<kAmounts>& label) const noexcept {
    bool passes = label.amounts[kVram] <= most_vram;
    for_each_index<kLabelBounds<kAmounts>>(
        [&](std::size_t b) { passes &= label.prices[b] <= most_price[b]; });
    return passes;
  }
};

/// Labels that end with the same unit on the same side, in the order of one amount: an array for each thing
/// known of them, so that no more is read than is looked at.
template <std::size_t kAmounts>
class Front {
 public:
  using Steps = std::array<Label<kAmounts>, 2>;

  explicit Front(Amount order) : order_(order) { reserve(1); }

  [[nodiscard]] Amount order() const noexcept { return order_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const std::int64_t* amounts(std::size_t k) const noexcept {
    return amounts_[k].data() + kBefore;
  }
  [[nodiscard]] const double* prices(std::size_t b) const noexcept { return prices_[b].data(); }
  /// Index into the front that a label came from, times 2, and that front's side.
  [[nodiscard]] const std::uint32_t* origins() const noexcept { return origins_.data(); }

  void clear() noexcept { size_ = 0; }

  /// A first label.
  void begin(const Label<kAmounts>& label) {
    for (std::size_t k = 0; k < kAmounts; ++k) amounts_[k][kBefore] = label.amounts[k];
    for (std::size_t b = 0; b < label.prices.size(); ++b) prices_[b][0] = label.prices[b];
    size_ = 1;
  }

  /// The labels of `fronts`, each with its own of `steps`, that pass `sieve`; of those only the cheapest by
  /// the first bound if they are more than `abreast`, and of neighbours none that takes no less of anything.
  /// Either step adds the same to a whole front, so both stay sorted and are merged.  Whether none was left
  /// out that passed.
  bool merge(const std::array<Front, 2>& fronts, const Steps& steps, Sieve<kAmounts> sieve,
             std::size_t abreast) {
    for (const std::size_t from : {0, 1}) passed_[from].sift(fronts[from], steps[from], sieve);
    const auto passed = passed_[0].size + passed_[1].size;
    if (passed > abreast) {
      sieve.most_price[0] = price_of(abreast, fronts, steps);
      for (const std::size_t from : {0, 1}) passed_[from].sift(fronts[from], steps[from], sieve);
    }
    reserve(passed_[0].size + passed_[1].size + 1);
    merge_passed(fronts, steps, sieve);
    return passed <= abreast;
  }

 private:
  static constexpr std::ptrdiff_t kBefore = 2;  ///< labels before the first that take more than anything
  static constexpr std::size_t kBack = kAmounts == 2 ? 1 : 2;  ///< neighbours looked at

  /// Labels that pass, by index, and their order with the step.  Half of all do, in no order that a processor
  /// could foresee: so it is decided without branches.
  struct Passed {
    std::vector<std::uint32_t> indices;
    std::vector<std::int64_t> orders;
    std::size_t size = 0;

    void sift(const Front& front, const Label<kAmounts>& step, const Sieve<kAmounts>& sieve) {
      indices.resize(std::max(indices.size(), front.size_ + 1));
      orders.resize(std::max(orders.size(), front.size_ + 1));
      const auto* vram = front.amounts(kVram);
      const auto* in_order = front.amounts(front.order_);
      const auto most_vram = sieve.most_vram - step.amounts[kVram];
      const auto order_step = step.amounts[front.order_];
      std::array<const double*, kLabelBounds<kAmounts>> prices;
      auto most_price = sieve.most_price;
      for (std::size_t b = 0; b < prices.size(); ++b) {
        prices[b] = front.prices(b);
        most_price[b] -= step.prices[b];
      }
      auto* index_out = indices.data();
      auto* order_out = orders.data();
      std::size_t passed = 0;
      for (std::size_t index = 0; index < front.size_; ++index) {
        bool passes = vram[index] <= most_vram;
        for_each_index<kLabelBounds<kAmounts>>(
            [&](std::size_t b) { passes &= prices[b][index] <= most_price[b]; });
        index_out[passed] = static_cast<std::uint32_t>(index);
        order_out[passed] = in_order[index] + order_step;
        passed += passes ? 1 : 0;
      }
      index_out[passed] = 0;
      order_out[passed] = std::numeric_limits<std::int64_t>::max();  // comes after all
      size = passed;
    }
  };

  void reserve(std::size_t labels) {
    if (origins_.size() >= labels) return;
    const auto room = labels + labels / 4;
    for (auto& values : amounts_) {
      values.resize(kBefore + room);
      std::fill_n(values.begin(), kBefore, std::numeric_limits<std::int64_t>::max());
    }
    for (auto& values : prices_) values.resize(room);
    origins_.resize(room);
  }

  /// The price by the first bound that `count` of those that passed do not exceed.
  [[nodiscard]] double price_of(std::size_t count, const std::array<Front, 2>& fronts,
                                const Steps& steps) const {
    std::vector<double> prices;
    for (const std::size_t from : {0, 1}) {
      const auto& passed = passed_[from];
      for (std::size_t at = 0; at < passed.size; ++at)
        prices.push_back(fronts[from].prices(0)[passed.indices[at]] + steps[from].prices[0]);
    }
    const auto last = prices.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::ranges::nth_element(prices, last);
    return *last;
  }

  /// Where each thing known of labels is.
  template <typename Integers, typename Reals>
  struct Arrays {
    std::array<Integers, kAmounts> amounts;
    std::array<Reals, kLabelBounds<kAmounts>> prices;
  };
  template <typename AnyFront>
  static auto arrays(AnyFront& front) {
    Arrays<decltype(front.amounts_[0].data()), decltype(front.prices_[0].data())> all;
    for (std::size_t k = 0; k < kAmounts; ++k) all.amounts[k] = front.amounts_[k].data() + kBefore;
    for (std::size_t b = 0; b < all.prices.size(); ++b) all.prices[b] = front.prices_[b].data();
    return all;
  }

  void merge_passed(const std::array<Front, 2>& fronts, const Steps& steps, const Sieve<kAmounts>& sieve) {
    const std::array in{arrays(fronts[0]), arrays(fronts[1])};
    const auto out = arrays(*this);
    auto* origins_out = origins_.data();
    std::array orders{passed_[0].orders.data(), passed_[1].orders.data()};
    std::array indices{passed_[0].indices.data(), passed_[1].indices.data()};
    std::ptrdiff_t kept = 0;
    for (auto left = passed_[0].size + passed_[1].size; left > 0; --left) {
      const std::uint32_t from = *orders[1] < *orders[0] ? 1 : 0;
      const auto index = *indices[0] ^ ((*indices[0] ^ *indices[1]) & (0U - from));
      orders[0] += 1 - from;
      orders[1] += from;
      indices[0] += 1 - from;
      indices[1] += from;
      std::array<bool, kBack> less{};  // than a neighbour before
      for_each_index<kAmounts>([&](std::size_t k) {
        const auto amount = in[from].amounts[k][index] + steps[from].amounts[k];
        const auto matters = std::max(amount, sieve.harmless[k]);
        out.amounts[k][kept] = amount;
        for_each_index<kBack>([&](std::size_t back) {
          less[back] |= out.amounts[k][kept - 1 - static_cast<std::ptrdiff_t>(back)] > matters;
        });
      });
      for_each_index<kLabelBounds<kAmounts>>(
          [&](std::size_t b) { out.prices[b][kept] = in[from].prices[b][index] + steps[from].prices[b]; });
      origins_out[kept] = 2 * index + from;
      bool is_new = true;
      for_each_index<kBack>([&](std::size_t back) {
        const auto* vram = out.amounts[kVram] + kept;
        const auto before = vram[-1 - static_cast<std::ptrdiff_t>(back)];
        is_new &= less[back] | (sieve.needs_gpu & (before == 0) & (*vram != 0));
      });
      kept += is_new ? 1 : 0;
    }
    size_ = static_cast<std::size_t>(kept);
  }

  Amount order_;
  std::array<std::vector<std::int64_t>, kAmounts> amounts_;
  std::array<std::vector<double>, kLabelBounds<kAmounts>> prices_;
  std::vector<std::uint32_t> origins_;
  std::size_t size_ = 0;
  std::array<Passed, 2> passed_;
};

}  // namespace tandem::planner
