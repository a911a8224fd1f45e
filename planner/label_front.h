#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "planner/excess.h"

namespace tandem::planner {

/// What labels are compared by: the first 2 of these, where devices overlap also their own times, and where
/// RAM may bind all.
enum Amount : std::size_t { kVram, kSerial, kCpu, kGpu, kRam, kDrafts };

template <std::size_t kAmounts>
using Amounts = std::array<std::int64_t, kAmounts>;

/// What a run of units takes, or one unit adds to it, and by how much that keeps it from each bound.
template <std::size_t kAmounts>
struct Label {
  Amounts<kAmounts> amounts{};
  Excess excess;
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
  std::int64_t most_vram = 0;    ///< that fits
  Amounts<kAmounts> harmless{};  ///< amounts up to which it cannot matter any more
  bool needs_gpu = false;        ///< what has nothing on the GPU may come to nothing

  [[nodiscard]] bool passes(const Label<kAmounts>& label) const noexcept {
    return label.amounts[kVram] <= most_vram && label.excess.may_do();
  }
};

/// Room for values that are written before they are read; what is there is not kept when it grows.  That is
/// seldom: room that nothing was written to costs nothing, but fresh memory that is, a good deal.
template <typename Value>
class ScratchArray {
 public:
  void reserve(std::size_t count) {
    if (count <= count_) return;
    count_ = 2 * count;
    values_.reset();
    values_ = std::make_unique_for_overwrite<Value[]>(count_);
  }
  [[nodiscard]] Value* data() noexcept { return values_.get(); }
  [[nodiscard]] const Value* data() const noexcept { return values_.get(); }

 private:
  std::unique_ptr<Value[]> values_;
  std::size_t count_ = 0;
};

/// Labels of a front that pass, by index, and their order with the step.
struct PassedLabels {
  ScratchArray<std::uint32_t> indices;
  ScratchArray<std::int64_t> orders;
  std::size_t size = 0;
};

/// Labels that end with the same unit on the same side, in the order of one amount.
template <std::size_t kAmounts>
class Front {
 public:
  using Steps = std::array<Label<kAmounts>, 2>;

  explicit Front(Amount order) : order_(order) { reserve(1); }

  [[nodiscard]] Amount order() const noexcept { return order_; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] const Label<kAmounts>& operator[](std::size_t index) const noexcept {
    return labels_.data()[kBefore + index];
  }
  /// Index into the front that a label came from, times 2, and that front's side.
  [[nodiscard]] std::span<const std::uint32_t> origins() const noexcept { return {origins_.data(), size_}; }

  void clear() noexcept { size_ = 0; }

  /// A first label.
  void begin(const Label<kAmounts>& label) {
    labels_.data()[kBefore] = label;
    origins_.data()[0] = 0;
    size_ = 1;
  }

  /// The labels of `fronts`, each with its own of `steps`, that pass `sieve`; of those only the nearest to
  /// the first bound if they are more than `abreast`, and of neighbours none that takes no less of anything.
  /// Either step adds the same to a whole front, so both stay sorted and are merged.  Whether none was left
  /// out that passed.
  bool merge(const std::array<Front, 2>& fronts, const Steps& steps, const Sieve<kAmounts>& sieve,
             std::size_t abreast, std::array<PassedLabels, 2>& work) {
    for (const std::size_t from : {0, 1}) fronts[from].sift(steps[from], sieve, work[from]);
    const auto passed = work[0].size + work[1].size;
    if (passed > abreast) {
      const auto most = first_excess_of(abreast, fronts, steps, work);
      for (const std::size_t from : {0, 1}) fronts[from].keep_nearest(steps[from], most, work[from]);
    }
    reserve(work[0].size + work[1].size + 1);
    if (sieve.needs_gpu) {
      merge_passed<true>(fronts, steps, sieve, work);
    } else {
      merge_passed<false>(fronts, steps, sieve, work);
    }
    return passed <= abreast;
  }

 private:
  static constexpr std::ptrdiff_t kBefore = 2;  ///< labels before the first that take more than anything
  static constexpr std::size_t kBack = kAmounts == 2 ? 1 : 2;  ///< neighbours looked at

  /// Half of all labels pass, in no order that a processor could foresee: so it is decided without branches.
  void sift(const Label<kAmounts>& step, const Sieve<kAmounts>& sieve, PassedLabels& passed) const {
    passed.indices.reserve(size_ + 1);
    passed.orders.reserve(size_ + 1);
    const auto* labels = labels_.data() + kBefore;
    const auto most_vram = sieve.most_vram - step.amounts[kVram];
    const auto order_step = step.amounts[order_];
    auto* indices = passed.indices.data();
    auto* orders = passed.orders.data();
    std::size_t count = 0;
    for (std::size_t index = 0; index < size_; ++index) {
      const auto& label = labels[index];
      const std::size_t fits = label.amounts[kVram] <= most_vram ? 1 : 0;
      const std::size_t may_do = (label.excess + step.excess).may_do() ? 1 : 0;
      indices[count] = static_cast<std::uint32_t>(index);
      orders[count] = label.amounts[order_] + order_step;
      count += fits & may_do;
    }
    end(passed, count);
  }

  /// Those of them whose first excess is at most `most`.
  void keep_nearest(const Label<kAmounts>& step, std::uint32_t most, PassedLabels& passed) const {
    auto* indices = passed.indices.data();
    auto* orders = passed.orders.data();
    std::size_t kept = 0;
    for (std::size_t at = 0; at < passed.size; ++at) {
      if (((*this)[indices[at]].excess + step.excess).first() > most) continue;
      indices[kept] = indices[at];
      orders[kept++] = orders[at];
    }
    end(passed, kept);
  }

  static void end(PassedLabels& passed, std::size_t count) {
    passed.indices.data()[count] = 0;
    passed.orders.data()[count] = std::numeric_limits<std::int64_t>::max();  // comes after all
    passed.size = count;
  }

  void reserve(std::size_t labels) {
    labels_.reserve(kBefore + labels);
    origins_.reserve(labels);
    for (std::ptrdiff_t before = 0; before < kBefore; ++before)
      labels_.data()[before].amounts.fill(std::numeric_limits<std::int64_t>::max());
  }

  /// The first excess that `count` of those that passed do not exceed.
  [[nodiscard]] static std::uint32_t first_excess_of(std::size_t count, const std::array<Front, 2>& fronts,
                                                     const Steps& steps,
                                                     const std::array<PassedLabels, 2>& work) {
    std::vector<std::uint32_t> firsts;
    firsts.reserve(work[0].size + work[1].size);
    for (const std::size_t from : {0, 1}) {
      for (std::size_t at = 0; at < work[from].size; ++at)
        firsts.push_back((fronts[from][work[from].indices.data()[at]].excess + steps[from].excess).first());
    }
    const auto last = firsts.begin() + static_cast<std::ptrdiff_t>(count - 1);
    std::ranges::nth_element(firsts, last);
    return *last;
  }

  template <bool kNeedsGpu>
  void merge_passed(const std::array<Front, 2>& fronts, const Steps& steps, const Sieve<kAmounts>& sieve,
                    const std::array<PassedLabels, 2>& work) {
    const std::array in{&fronts[0][0], &fronts[1][0]};
    std::array orders{work[0].orders.data(), work[1].orders.data()};
    std::array indices{work[0].indices.data(), work[1].indices.data()};
    auto* const begin = labels_.data() + kBefore;
    auto* out = begin;
    auto* origin = origins_.data();
    for (auto left = work[0].size + work[1].size; left > 0; --left) {
      const std::uint32_t from = *orders[1] < *orders[0] ? 1 : 0;
      const auto index = *indices[0] ^ ((*indices[0] ^ *indices[1]) & (0U - from));
      orders[0] += 1 - from;
      orders[1] += from;
      indices[0] += 1 - from;
      indices[1] += from;
      const auto& label = in[from][index];
      const auto& step = steps[from];
      std::array<bool, kBack> less{};  // than a neighbour before
      for_each_index<kAmounts>([&](std::size_t k) {
        const auto amount = label.amounts[k] + step.amounts[k];
        const auto matters = std::max(amount, sieve.harmless[k]);
        out->amounts[k] = amount;
        for_each_index<kBack>([&](std::size_t back) {
          less[back] |= out[-1 - static_cast<std::ptrdiff_t>(back)].amounts[k] > matters;
        });
      });
      out->excess = label.excess + step.excess;
      *origin = 2 * index + from;
      bool is_new = true;
      for_each_index<kBack>([&](std::size_t back) {
        bool comes_to_more = less[back];
        if constexpr (kNeedsGpu) {
          const auto before = out[-1 - static_cast<std::ptrdiff_t>(back)].amounts[kVram];
          comes_to_more |= before == 0 && out->amounts[kVram] != 0;
        }
        is_new &= comes_to_more;
      });
      out += is_new ? 1 : 0;
      origin += is_new ? 1 : 0;
    }
    size_ = static_cast<std::size_t>(out - begin);
  }

  Amount order_;
  ScratchArray<Label<kAmounts>> labels_;
  ScratchArray<std::uint32_t> origins_;
  std::size_t size_ = 0;
};

}  // namespace tandem::planner
