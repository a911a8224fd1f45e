#include "planner/label_search.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::Sides;

/// The search with enough to spend, where nothing that takes `known_ps` or more is wanted.
SearchResult labels_below(const CaseCosts& costs, Picoseconds known_ps) {
  std::vector<Sides> tried;
  const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
  LabelLimits left{1'000'000};
  return label_search(costs, bounds, known_ps)(left);
}

TEST(LabelSearch, FindsTheFastestOfAllPlacementsOfACase) {
  std::mt19937 random(95);
  int cases = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto search = planner_test::random_small_search(random, round % 50 == 0 ? 5 : 3);
    if (search.space.cases.empty()) continue;
    const auto& within = search.space.cases[pick(random, 0, search.space.cases.size() - 1)];
    if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
    planner_test::expect_fastest(search.in(within, planner_test::kTimings[pick(random, 0, 1)]), labels_below);
    if (HasFatalFailure()) return;
    ++cases;
  }
  EXPECT_GT(cases, 900);
}

/// A few labels at a time.
SearchResult labels_in_parts(const CaseCosts& costs, Picoseconds known_ps) {
  std::vector<Sides> tried;
  const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
  const auto search = label_search(costs, bounds, known_ps);
  SearchResult found;
  for (std::size_t labels = 1; labels < 100'000; labels *= 2) {
    LabelLimits left{labels};
    found = search(left);
    if (found.complete) break;
  }
  return found;
}

TEST(LabelSearch, GoesOnWhereItStopped) {
  std::mt19937 random(99);
  for (int round = 0; round < 100; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    for (const auto& within : search.space.cases) {
      if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
      const auto costs = search.in(within, planner_test::kTimings[pick(random, 0, 1)]);
      planner_test::expect_fastest(costs, labels_in_parts);
      if (HasFatalFailure()) return;
    }
  }
}

/// What it finds with few abreast fits and is no faster than the fastest, which it often is.
TEST(LabelSearch, FindsSomethingWithFewAbreast) {
  std::mt19937 random(98);
  int found_some = 0;
  int fastest = 0;
  int left_out = 0;
  for (int round = 0; round < 250; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    for (const auto& within : search.space.cases) {
      if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
      const auto costs = search.in(within, planner_test::kTimings[pick(random, 0, 1)]);
      const auto least = planner_test::least_ps(costs);
      std::vector<Sides> tried;
      const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
      LabelLimits left{1'000'000, 2};
      const auto found = label_search(costs, bounds, planner_test::kUnknownPs)(left);
      left_out += found.complete ? 0 : 1;
      if (found.complete) {
        ASSERT_EQ(found.sides.has_value(), least.has_value());
      }
      if (!found.sides) continue;
      const auto spent = spent_by(costs, *found.sides);
      ASSERT_TRUE(planner_test::allows(costs, *found.sides) && spent.fits(costs));
      ASSERT_EQ(spent.time_ps(costs.timing), found.time_ps);
      ASSERT_TRUE(least && *least <= found.time_ps);
      ++found_some;
      fastest += *least == found.time_ps ? 1 : 0;
    }
  }
  EXPECT_GT(left_out, 75);
  EXPECT_GT(fastest, found_some / 2);
}

TEST(LabelSearch, StopsWhereNoLabelsAreLeft) {
  const planner_test::LargeSearch large({std::uint64_t{8} << 30U, Budget{}.ram_bytes, 0, 0}, 1);
  const auto costs = large.costs(Timing::serial);
  std::vector<Sides> tried;
  const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
  LabelLimits left{100};
  const auto found = label_search(costs, bounds, planner_test::kUnknownPs)(left);
  EXPECT_FALSE(found.complete);
  EXPECT_FALSE(found.sides);
  EXPECT_EQ(left.labels, 0U);
}

}  // namespace
}  // namespace tandem::planner
