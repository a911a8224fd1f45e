#include "planner/count_search.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::Sides;

/// The search with enough to spend, where nothing that takes `known_ps` or more is wanted.
SearchResult counts_below(const CaseCosts& costs, Picoseconds known_ps) {
  std::vector<Sides> tried;
  const auto bound = Bound::good_ones(costs, planner_test::kUnknownPs, tried).front();
  CountLimits left{1'000'000, 1'000'000};
  return search_counts(costs, bound, known_ps, left);
}

TEST(CountSearch, FindsTheFastestOfAllPlacementsOfACase) {
  std::mt19937 random(96);
  int cases = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto search = planner_test::random_small_search(random, round % 50 == 0 ? 5 : 3);
    if (search.space.cases.empty()) continue;
    const auto& within = search.space.cases[pick(random, 0, search.space.cases.size() - 1)];
    if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
    planner_test::expect_fastest(search.in(within, planner_test::kTimings[pick(random, 0, 1)]), counts_below);
    if (HasFatalFailure()) return;
    ++cases;
  }
  EXPECT_GT(cases, 900);
}

/// A large model where it just fits, both devices busy at once.
struct LargeCase : planner_test::LargeSearch {
  LargeCase()
      : LargeSearch({std::uint64_t{15284} << 20U, std::numeric_limits<std::uint64_t>::max(), 0, 0}, 2) {}

  [[nodiscard]] CaseCosts costs() const { return LargeSearch::costs(Timing::overlapped); }
};

TEST(CountSearch, GoesThroughMillionsOfCountsOfALargeModel) {
  const LargeCase large;
  const auto costs = large.costs();
  ASSERT_TRUE(is_countable(costs));
  const auto found = counts_below(costs, planner_test::kUnknownPs);
  ASSERT_TRUE(found.complete);
  ASSERT_TRUE(found.sides);
  const auto spent = spent_by(costs, *found.sides);
  EXPECT_TRUE(spent.fits(costs));
  EXPECT_EQ(spent.time_ps(Timing::overlapped), found.time_ps);
  // Nothing near it is faster: one unit moved, or two that change places.
  for (std::size_t i = 0; i < costs.units(); ++i) {
    for (std::size_t j = i; j < costs.units(); ++j) {
      auto sides = *found.sides;
      sides[i] = static_cast<std::uint8_t>(1 - sides[i]);
      if (j > i) sides[j] = static_cast<std::uint8_t>(1 - sides[j]);
      const auto other = spent_by(costs, sides);
      const bool faster = other.fits(costs) && other.time_ps(Timing::overlapped) < found.time_ps;
      ASSERT_FALSE(faster);
    }
  }
}

TEST(CountSearch, StopsWhereNothingIsLeftToSpend) {
  const LargeCase large;
  const auto costs = large.costs();
  std::vector<Sides> tried;
  const auto bound = Bound::good_ones(costs, planner_test::kUnknownPs, tried).front();
  for (const auto& most : {CountLimits{100, 1'000'000}, CountLimits{1'000'000, 10}}) {
    auto left = most;
    EXPECT_FALSE(search_counts(costs, bound, planner_test::kUnknownPs, left).complete);
  }
}

TEST(CountSearch, IsNotForLayersThatAllDiffer) {
  LargeCase large;
  auto step = large.step;
  for (std::size_t i = 0; i < step.unit_ps.size(); ++i) step.unit_ps[i][kOnCpu] += i;
  const CaseCosts costs{&large.space, &large.space.cases.front(), &step, Timing::serial};
  EXPECT_FALSE(is_countable(costs));
  std::vector<Sides> tried;
  const auto bound = Bound::good_ones(costs, planner_test::kUnknownPs, tried).front();
  CountLimits left{1'000'000, 1'000'000};
  EXPECT_FALSE(search_counts(costs, bound, planner_test::kUnknownPs, left).complete);
}

}  // namespace
}  // namespace tandem::planner
