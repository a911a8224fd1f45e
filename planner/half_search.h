#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "planner/bound.h"
#include "planner/byte_count.h"
#include "planner/half_steps.h"
#include "planner/label_front.h"
#include "planner/label_search.h"

namespace tandem::planner {

/// What labels are compared by, of what was spent.
template <std::size_t kAmounts>
Amounts<kAmounts> amounts_of(const Spent& spent) {
  const std::array<std::uint64_t, 6> all{spent.vram_bytes,      spent.serial_ps(), spent.busy_ps[kOnCpu],
                                         spent.busy_ps[kOnGpu], spent.ram_bytes,   spent.drafts_bytes};
  Amounts<kAmounts> amounts{};
  for (std::size_t k = 0; k < kAmounts; ++k) amounts[k] = static_cast<std::int64_t>(all[k]);
  return amounts;
}

/// `limit` less what else there is, as an amount.
inline std::int64_t room(std::uint64_t limit, std::uint64_t else_there) {
  constexpr auto kMost = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  return limit > else_there ? static_cast<std::int64_t>(std::min(kMost, limit - else_there)) : 0;
}

/// Labels of the first units, or of the last ones and the head, one unit more at a time.
template <std::size_t kAmounts>
class HalfSearch {
 public:
  HalfSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps, Half half)
      : costs_(costs),
        bounds_(bounds),
        known_ps_(known_ps),
        steps_(costs, bounds, known_ps, half),
        fronts_(order(bounds)) {
    for (const auto side : {kOnCpu, kOnGpu}) begin(side);
    reached_ = 1;
  }

  /// What labels are in the order of: bytes that are scarce.
  [[nodiscard]] static Amount order(const std::vector<Bound>& bounds) {
    return kAmounts > 4 && bounds.front().prices().vram == 0 ? kRam : kVram;
  }

  /// Units in labels.
  [[nodiscard]] std::size_t reached() const noexcept { return reached_; }
  /// None was dropped that might come to something.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  /// Labels whose newest unit is on `side`.
  [[nodiscard]] std::span<const Label<kAmounts>> front(std::size_t side) const noexcept {
    return fronts_.labels(side);
  }
  [[nodiscard]] std::size_t size() const noexcept { return fronts_.size(); }

  /// Labels of one unit more; `next` is room for them that both halves use.
  void extend(LabelLimits& left, Fronts<kAmounts>& next) {
    next.extend(fronts_, steps(), sieve());
    std::swap(fronts_, next);
    ++reached_;
    for (const auto side : {kOnCpu, kOnGpu}) {
      complete_ &= front(side).size() <= left.abreast;
      fronts_.keep_nearest(side, left.abreast);
    }
    fates_.emplace_back(fronts_.fates().begin(), fronts_.fates().end());
    left.labels -= std::min(left.labels, size());
  }

  /// Puts the units of a label where they are.
  void put(LabelPlace place, std::vector<std::uint8_t>& sides) const {
    for (auto at = reached_; at-- > 0;) {
      sides[steps_.unit(at)] = static_cast<std::uint8_t>(place.side);
      if (at > 0) place = origin_of(fates_[at - 1], place);
    }
  }

 private:
  /// For labels with one unit more.
  [[nodiscard]] Sieve<kAmounts> sieve() const {
    Sieve<kAmounts> sieve;
    const auto& rest = steps_.rest(reached_ + 1);
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
      const auto drafts = steps_.rest(0).drafts_bytes + kBufferAlignmentBytes;
      sieve.harmless[kRam] = room(costs_.ram_limit_bytes(), rest.ram_bytes + drafts);
    }
    sieve.needs_gpu = costs_.lacks_gpu(0);
    return sieve;
  }

  [[nodiscard]] LabelSteps<kAmounts> steps() const {
    LabelSteps<kAmounts> steps;
    for (const auto neighbour : {kOnCpu, kOnGpu}) {
      for (const auto to : {kOnCpu, kOnGpu}) steps[neighbour][to] = step(neighbour, to);
    }
    return steps;
  }

  /// What one unit more adds on `to`: too much where it must not be.
  [[nodiscard]] Label<kAmounts> step(std::size_t neighbour, std::size_t to) const {
    const bool allowed = costs_.allows(steps_.unit(reached_), to);
    return {amounts_of<kAmounts>(steps_.spent(reached_, neighbour, to)),
            allowed ? steps_.excess(reached_, neighbour, to) : Excess::too_much()};
  }

  void begin(std::size_t side) {
    const auto label = step(side, side);
    if (sieve().passes(label)) fronts_.begin(side, label);
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Picoseconds known_ps_;
  HalfSteps steps_;
  std::size_t reached_ = 0;
  bool complete_ = true;
  Fronts<kAmounts> fronts_;
  std::vector<std::vector<Fate>> fates_;  ///< with each unit but the first
};

}  // namespace tandem::planner
