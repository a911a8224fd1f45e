#pragma once

#include <array>
#include <cstddef>
#include <vector>

#include "planner/bound.h"
#include "planner/excess.h"

namespace tandem::planner {

/// Which units labels are of.
enum class Half {
  first,  ///< the first ones, in the order they run
  last    ///< the last ones, from the last one on, and the head
};

/// What labels gain with each unit.  The unit that is number `at` in them comes beside the one before it in
/// them, its neighbour, which runs before it in the first half and after it in the last.
class HalfSteps {
 public:
  HalfSteps(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps, Half half);

  /// Which unit is number `at`.
  [[nodiscard]] std::size_t unit(std::size_t at) const noexcept {
    return half_ == Half::first ? at : costs_.units() - 1 - at;
  }

  /// What number `at` takes on `to`; number 0 has no neighbour.
  [[nodiscard]] Spent spent(std::size_t at, std::size_t neighbour, std::size_t to) const;

  /// How much further above the bounds that is than what they count on.
  [[nodiscard]] Excess excess(std::size_t at, std::size_t neighbour, std::size_t to) const;

  /// What all that is not in labels of `count` units takes at most, wherever it is.
  [[nodiscard]] const Spent& rest(std::size_t count) const { return rests_[count]; }

 private:
  /// Bound `b` of what is not in labels of `count` units, the newest on `side`.
  [[nodiscard]] double least_beside(std::size_t b, std::size_t count, std::size_t side) const;
  [[nodiscard]] double excess_price(std::size_t b, std::size_t at, std::size_t neighbour,
                                    std::size_t to) const;
  [[nodiscard]] double most_excess_price(std::size_t b) const;
  void add_up_rests();

  const CaseCosts& costs_;
  const std::vector<Bound>& bounds_;
  Half half_;
  std::vector<std::vector<std::array<double, 2>>> before_;  ///< Bound::before of each, for the last half
  std::array<double, Excess::kBounds> parts_{};             ///< of Excess::kMost, for 1 of price
  std::vector<Spent> rests_;
};

}  // namespace tandem::planner
