#include "planner/half_steps.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::Sides;

/// A label of a placement's first or last units as it grows.
struct GrowingLabel {
  const HalfSteps& steps;
  const Sides& sides;
  Spent spent;
  Excess excess;
  std::size_t count = 0;

  void extend() {
    const auto to = sides[steps.unit(count)];
    const auto neighbour = count == 0 ? to : sides[steps.unit(count - 1)];
    spent = spent + steps.spent(count, neighbour, to);
    excess = excess + steps.excess(count, neighbour, to);
    ++count;
  }
};

/// Beginnings and ends of whatever fits may do, if what takes less than one part more is wanted; and together
/// they take what the whole placement does.
TEST(HalfSteps, MayComeToEveryPlacementThatIsFastEnough) {
  std::mt19937 random(103);
  int placements = 0;
  for (int round = 0; round < 40; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto timing = planner_test::kTimings[pick(random, 0, 1)];
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, timing);
      std::vector<Sides> tried;
      const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
      for (const auto& sides : planner_test::all_sides(costs.units())) {
        if (!planner_test::allows(costs, sides)) continue;
        const auto whole = spent_by(costs, sides);
        if (!whole.fits(costs)) continue;
        ++placements;
        const auto known_ps = whole.time_ps(timing) + 1;
        const HalfSteps first(costs, bounds, known_ps, Half::first);
        const HalfSteps last(costs, bounds, known_ps, Half::last);
        GrowingLabel beginning{first, sides, {}, {}};
        GrowingLabel end{last, sides, {}, {}};
        for (std::size_t i = 0; i < costs.units(); ++i) {
          beginning.extend();
          end.extend();
          ASSERT_TRUE(beginning.excess.may_do()) << "first " << i;
          ASSERT_TRUE(end.excess.may_do()) << "last " << i;
        }
        auto with_start = end.spent;
        with_start.change(costs, CaseCosts::kStart, sides.front());
        ASSERT_EQ(with_start, whole);
        auto with_head = beginning.spent;
        with_head.add_head(costs, sides.back());
        ASSERT_EQ(with_head, whole);
      }
    }
  }
  EXPECT_GT(placements, 500);
}

/// No less than what a placement's price is above the highest bound, but for what is rounded down.
TEST(HalfSteps, CountsAllThatAPlacementIsAboveTheBound) {
  std::mt19937 random(104);
  int dropped = 0;
  for (int round = 0; round < 60; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto timing = planner_test::kTimings[pick(random, 0, 1)];
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, timing);
      const auto known_ps = planner_test::least_ps(costs);
      if (!known_ps) continue;
      std::vector<Sides> tried;
      const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
      const auto& bound = bounds.front();
      const auto room = bound.beaten_by(*known_ps + 1) - bound.root();
      for (const auto half : {Half::first, Half::last}) {
        const HalfSteps steps(costs, bounds, *known_ps + 1, half);
        for (const auto& sides : planner_test::all_sides(costs.units())) {
          if (!planner_test::allows(costs, sides)) continue;
          GrowingLabel label{steps, sides, {}, {}};
          while (label.count < costs.units() && label.excess.may_do()) label.extend();
          const auto above = bound.prices().of(spent_by(costs, sides)) - bound.whole();
          const auto parts = above / room * static_cast<double>(Excess::kMost);
          if (parts < static_cast<double>(Excess::kMost + costs.units() + 1)) continue;
          ASSERT_FALSE(label.excess.may_do());
          ++dropped;
        }
      }
    }
  }
  EXPECT_GT(dropped, 1000);
}

}  // namespace
}  // namespace tandem::planner
