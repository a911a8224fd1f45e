#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
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

/// What both halves extend their labels in.
template <std::size_t kAmounts>
struct LabelWork {
  std::array<PassedLabels, 2> passed;
  std::array<Front<kAmounts>, 2> next;  ///< labels of one unit more, by side
};

/// Labels of the first units, or of the last ones and the head, one unit more at a time.
template <std::size_t kAmounts>
class HalfSearch {
 public:
  HalfSearch(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps, Half half)
      : costs_(costs),
        bounds_(bounds),
        known_ps_(known_ps),
        steps_(costs, bounds, known_ps, half),
        fronts_{Front<kAmounts>(order(bounds)), Front<kAmounts>(order(bounds))} {
    for (const auto side : {kOnCpu, kOnGpu}) begin(side);
    reached_ = 1;
  }

  /// What labels are ordered by: what is scarce.
  [[nodiscard]] static Amount order(const std::vector<Bound>& bounds) {
    return bounds.front().prices().vram > 0 ? kVram : kSerial;
  }

  /// Units in labels.
  [[nodiscard]] std::size_t reached() const noexcept { return reached_; }
  /// None was dropped that might come to something.
  [[nodiscard]] bool complete() const noexcept { return complete_; }
  /// Labels whose newest unit is on `side`.
  [[nodiscard]] const Front<kAmounts>& front(std::size_t side) const noexcept { return fronts_[side]; }
  [[nodiscard]] std::size_t size() const noexcept { return front(kOnCpu).size() + front(kOnGpu).size(); }

  /// Labels of one unit more.
  void extend(LabelLimits& left, LabelWork<kAmounts>& work) {
    const auto i = steps_.unit(reached_);
    for (const auto to : {kOnCpu, kOnGpu}) {
      auto& next = work.next[to];
      next.clear();
      if (!costs_.allows(i, to)) continue;
      complete_ &=
          next.merge(fronts_, {step(kOnCpu, to), step(kOnGpu, to)}, sieve(), left.abreast, work.passed);
    }
    std::swap(fronts_, work.next);
    ++reached_;
    auto& origins = origins_.emplace_back();
    for (const auto side : {kOnCpu, kOnGpu}) {
      const auto from = front(side).origins();
      origins[side].assign(from.begin(), from.end());
    }
    left.labels -= std::min(left.labels, size());
  }

  /// Puts the units of a label where they are.
  void put(std::size_t side, std::size_t index, std::vector<std::uint8_t>& sides) const {
    for (auto at = reached_; at-- > 0;) {
      sides[steps_.unit(at)] = static_cast<std::uint8_t>(side);
      if (at == 0) return;
      const auto origin = origins_[at - 1][side][index];
      side = origin % 2;
      index = origin / 2;
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

  /// What one unit more adds on `to`.
  [[nodiscard]] Label<kAmounts> step(std::size_t neighbour, std::size_t to) const {
    return {amounts_of<kAmounts>(steps_.spent(reached_, neighbour, to)),
            steps_.excess(reached_, neighbour, to)};
  }

  void begin(std::size_t side) {
    if (!costs_.allows(steps_.unit(0), side)) return;
    const auto label = step(side, side);
    if (sieve().passes(label)) fronts_[side].begin(label);
  }

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Picoseconds known_ps_;
  HalfSteps steps_;
  std::size_t reached_ = 0;
  bool complete_ = true;
  std::array<Front<kAmounts>, 2> fronts_;                           ///< by side
  std::vector<std::array<std::vector<std::uint32_t>, 2>> origins_;  ///< of each unit but the first, by side
};

}  // namespace tandem::planner
