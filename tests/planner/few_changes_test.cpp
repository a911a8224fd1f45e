#include "planner/few_changes.h"

#include <algorithm>
#include <limits>
#include <optional>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::all_sides;
using planner_test::random_small_search;
using planner_test::Sides;

constexpr auto kUnknown = std::numeric_limits<Picoseconds>::max() / 4;

/// How often a unit, or the head, is on another side than the unit before.
std::uint32_t changes_of(const CaseCosts& costs, const Sides& sides) {
  std::uint32_t changes = sides.back() == costs.within->head ? 0 : 1;
  for (std::size_t i = 1; i < sides.size(); ++i) changes += sides[i] == sides[i - 1] ? 0 : 1;
  return changes;
}

/// The least times of placements that fit, with few changes and with more.
struct Least {
  std::optional<Picoseconds> few_ps;
  std::optional<Picoseconds> many_ps;
};

Least least_of(const CaseCosts& costs) {
  Least least;
  for (const auto& sides : all_sides(costs.units())) {
    const auto spent = spent_by(costs, sides);
    if (!planner_test::allows(costs, sides) || !spent.fits(costs)) continue;
    auto& so_far = changes_of(costs, sides) <= kFewChanges ? least.few_ps : least.many_ps;
    const auto time_ps = spent.time_ps(costs.timing);
    if (!so_far || time_ps < *so_far) so_far = time_ps;
  }
  return least;
}

void expect_as_tried(const CaseCosts& costs, int round) {
  const auto least = least_of(costs);
  std::vector<Sides> tried;
  const auto bound = Bound::good_ones(costs, planner_test::kUnknownPs, tried).front();
  const auto found = search_few_changes(costs, bound, kUnknown);
  ASSERT_EQ(found.sides.has_value(), least.few_ps.has_value()) << "round " << round;
  if (least.few_ps) {
    ASSERT_EQ(found.time_ps, *least.few_ps) << "round " << round;
    ASSERT_EQ(spent_by(costs, *found.sides).time_ps(costs.timing), *least.few_ps) << "round " << round;
    ASSERT_LE(changes_of(costs, *found.sides), kFewChanges) << "round " << round;
    ASSERT_FALSE(search_few_changes(costs, bound, *least.few_ps).sides) << "round " << round;
  }
  const auto beyond = bound_beyond_few_changes(costs);
  if (!least.many_ps) return;
  ASSERT_LE(beyond.root(), beyond.beaten_by(*least.many_ps + 1)) << "round " << round;
}

TEST(FewChanges, AreAllGoneThroughAndTheRestIsBounded) {
  std::mt19937 random(67);
  for (int round = 0; round < 60; ++round) {
    const auto search = random_small_search(random, 4);
    for (const auto& within : search.space.cases) {
      if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
      for (const auto timing : {Timing::serial, Timing::overlapped}) {
        expect_as_tried(search.in(within, timing), round);
        if (HasFatalFailure()) return;
      }
    }
  }
}

}  // namespace
}  // namespace tandem::planner
