#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "planner/amounts.h"
#include "planner/excess.h"
#include "planner/trail.h"

namespace tandem::planner {

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
    const int fits = label.amounts[kVram] <= most_vram ? 1 : 0;
    const int may_do = label.excess.may_do() ? 1 : 0;
    return (fits & may_do) != 0;  // without a branch
  }
};

/// Room for values that are written before they are read; what is there is not kept when it grows.  Room that
/// nothing was written to costs nothing, but fresh memory that is, a good deal: so nothing is set to begin
/// with.
template <typename Value>
class ScratchArray {
  static_assert(std::is_trivially_copyable_v<Value> && std::is_trivially_destructible_v<Value>);

 public:
  void reserve(std::size_t count) {
    if (count <= count_) return;
    count_ = count;
    bytes_.reset();
    bytes_ = std::make_unique_for_overwrite<std::byte[]>(count * sizeof(Value));
  }
  [[nodiscard]] Value* data() noexcept { return reinterpret_cast<Value*>(bytes_.get()); }
  [[nodiscard]] const Value* data() const noexcept { return reinterpret_cast<const Value*>(bytes_.get()); }

 private:
  std::unique_ptr<std::byte[]> bytes_;
  std::size_t count_ = 0;
};

/// What one unit more adds to a label, by the side of the unit that it comes beside and by its own.  It adds
/// the same bytes beside either.
template <std::size_t kAmounts>
using LabelSteps = std::array<std::array<Label<kAmounts>, 2>, 2>;

/// Labels that end with the same unit, by its side; on either side in the order of one amount of bytes.
template <std::size_t kAmounts>
class Fronts {
 public:
  explicit Fronts(Amount order) : order_(order) {
    reserve(1);
    end(0, 0);
    end(1, 0);
  }

  [[nodiscard]] std::size_t size() const noexcept { return sizes_[0] + sizes_[1]; }
  [[nodiscard]] std::span<const Label<kAmounts>> labels(std::size_t side) const noexcept {
    return {first(side), sizes_[side]};
  }
  /// What became of the labels that were extended, in the order they were gone through.
  [[nodiscard]] std::span<const Fate> fates() const noexcept { return {fates_.data(), extended_}; }

  /// A first label.
  void begin(std::size_t side, const Label<kAmounts>& label) {
    *first(side) = label;
    end(side, 1);
  }

  /// Labels with one unit more than those `before`: what passes `sieve`, and none that takes no less of
  /// anything than the one before it.  A step leaves the order of labels as it is, so those of both sides are
  /// gone through at once, and what becomes of each on either side is decided while it is at hand.
  void extend(const Fronts& before, const LabelSteps<kAmounts>& steps, const Sieve<kAmounts>& sieve) {
    reserve(before.size());
    if (sieve.needs_gpu) {
      extend_all<true>(before, steps, sieve);
    } else {
      extend_all<false>(before, steps, sieve);
    }
  }

  /// Keeps of a side's labels only the `most` that are nearest to the first bound, and what is about as near.
  void keep_nearest(std::size_t side, std::size_t most) {
    if (sizes_[side] <= most) return;
    std::array<std::uint32_t, Excess::kMost / kAsNear + 1> counts{};
    for (const auto& label : labels(side)) ++counts[label.excess.first() / kAsNear];
    std::uint32_t near = 0;
    for (std::size_t count = counts[0]; count < most; count += counts[near]) ++near;
    auto* const labels = first(side);
    std::size_t kept = 0;
    std::size_t index = 0;
    for (auto& fate : std::span(fates_.data(), extended_)) {
      const std::size_t was_kept = fate.is_kept(side) ? 1 : 0;
      labels[kept] = labels[index];
      const std::size_t is_near = labels[kept].excess.first() / kAsNear <= near ? 1 : 0;
      fate.keep(side, is_near);
      kept += was_kept & is_near;
      index += was_kept;
    }
    end(side, kept);
  }

 private:
  static constexpr std::size_t kLeastRoom = 1 << 14;
  static constexpr std::uint32_t kAsNear = 32;  ///< parts of excess
  static constexpr auto kMost = std::numeric_limits<std::int64_t>::max();

  /// Half of all labels are dropped, in no order that a processor could foresee: so all is decided by
  /// arithmetic, without branches.
  template <bool kNeedsGpu>
  void extend_all(const Fronts& before, const LabelSteps<kAmounts>& given_steps,
                  const Sieve<kAmounts>& given_sieve) {
    const auto steps = given_steps;  // that nothing written here could change
    const auto sieve = given_sieve;
    const auto order = order_;
    const auto* const labels = before.first(0);
    std::size_t on_cpu = 0;
    std::size_t on_gpu = before.room_;
    std::array ends{first(0), first(1)};
    extended_ = before.size();
    for (auto& fate : std::span(fates_.data(), extended_)) {
      const std::size_t from = labels[on_gpu].amounts[order] < labels[on_cpu].amounts[order] ? 1 : 0;
      const auto& label = labels[on_cpu ^ ((on_cpu ^ on_gpu) & (0 - from))];
      on_cpu += 1 - from;
      on_gpu += from;
      const auto kept_on_cpu = put<kNeedsGpu>(label, steps[from][0], sieve, ends[0]);
      const auto kept_on_gpu = put<kNeedsGpu>(label, steps[from][1], sieve, ends[1]);
      ends[0] += kept_on_cpu;
      ends[1] += kept_on_gpu;
      fate = Fate(from, kept_on_cpu, kept_on_gpu);
    }
    for (const std::size_t side : {0, 1}) end(side, static_cast<std::size_t>(ends[side] - first(side)));
  }

  /// Puts a label with the step at the `end`, and says whether it is kept there, as 1 or 0.
  template <bool kNeedsGpu>
  [[gnu::always_inline]] static std::size_t put(const Label<kAmounts>& label, const Label<kAmounts>& step,
                                                const Sieve<kAmounts>& sieve, Label<kAmounts>* end) noexcept {
    const auto& before = *(end - 1);
    bool is_new = add<kAmounts>(label.amounts, step.amounts, before.amounts, sieve.harmless, end->amounts);
    if constexpr (kNeedsGpu) is_new |= before.amounts[kVram] == 0 && end->amounts[kVram] != 0;
    end->excess = label.excess + step.excess;
    return std::size_t{is_new} & std::size_t{sieve.passes(*end)};
  }

  [[nodiscard]] Label<kAmounts>* first(std::size_t side) noexcept {
    return labels_.data() + 1 + side * room_;
  }
  [[nodiscard]] const Label<kAmounts>* first(std::size_t side) const noexcept {
    return labels_.data() + 1 + side * room_;
  }

  /// Makes room for so many labels on either side, after one that takes more than anything and before
  /// another. What is there is not kept when it grows.
  void reserve(std::size_t labels) {
    if (const auto least = labels + 2; least > room_) {
      room_ = std::max(2 * least, kLeastRoom);
      labels_.reserve(2 * room_);
      fates_.reserve(room_);
    }
    for (const std::size_t side : {0, 1}) (first(side) - 1)->amounts.fill(kMost);
  }

  /// With one more that comes after all.
  void end(std::size_t side, std::size_t size) noexcept {
    sizes_[side] = size;
    auto& after = first(side)[size];
    after.amounts.fill(kMost);
    after.excess = {};
  }

  Amount order_;
  std::size_t room_ = 0;  ///< on either side
  ScratchArray<Label<kAmounts>> labels_;
  ScratchArray<Fate> fates_;
  std::size_t extended_ = 0;  ///< labels that these were made of
  std::array<std::size_t, 2> sizes_{};
};

}  // namespace tandem::planner
