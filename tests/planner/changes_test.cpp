#include "planner/changes.h"

#include <map>
#include <utility>

#include <gtest/gtest.h>

#include "tests/planner/unit_sides.h"

namespace tandem::planner {
namespace {

using planner_test::arrangement_of;
using planner_test::counts_of;
using planner_test::pick;
using planner_test::Sides;

/// Counts of each kind on the GPU and the first unit's side, and the fewest changes with which they can be
/// had.
using Fewest = std::map<std::pair<Counts, std::size_t>, std::uint32_t>;

Fewest fewest_changes(const CaseCosts& costs, const UnitKinds& kinds) {
  Fewest fewest;
  for (const auto& sides : planner_test::all_sides(costs.units())) {
    if (!planner_test::allows(costs, sides)) continue;
    const auto changes = arrangement_of(sides, costs.within->head).changes;
    const auto [entry, added] = fewest.try_emplace({counts_of(kinds, sides), sides.front()}, changes);
    if (!added) entry->second = std::min(entry->second, changes);
  }
  return fewest;
}

void expect_exact(const CaseCosts& costs) {
  constexpr std::size_t kPlenty = 1'000'000;
  const auto kinds = unit_kinds(costs);
  Changes changes(costs, kinds);
  for (const auto& [key, fewest] : fewest_changes(costs, kinds)) {
    const auto& [counts, first] = key;
    auto tries = kPlenty;
    ASSERT_LE(changes.at_least(counts, first), fewest);
    ASSERT_LE(changes.raised(counts, first, fewest, tries), fewest);
    const auto sides = changes.arranged(counts, first, fewest, tries);
    ASSERT_TRUE(sides);
    ASSERT_TRUE(planner_test::allows(costs, *sides));
    ASSERT_EQ(counts_of(kinds, *sides), counts);
    ASSERT_EQ(sides->front(), first);
    ASSERT_EQ(arrangement_of(*sides, costs.within->head).changes, fewest);
    const bool fewer = fewest > 2 && changes.arranged(counts, first, fewest - 1, tries);
    ASSERT_FALSE(fewer);
  }
}

TEST(Changes, AreTheFewestOfAllPlacementsWithTheSameCounts) {
  std::mt19937 random(81);
  for (int round = 0; round < 60; ++round) {
    const auto search = planner_test::random_small_search(random, 5);
    for (const auto& within : search.space.cases) {
      expect_exact(search.in(within, Timing::serial));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(Changes, PricesRaiseTheBoundOfMostCountsToWhatTheyNeed) {
  std::mt19937 random(82);
  int all = 0;
  int tight = 0;
  for (int round = 0; round < 30; ++round) {
    const auto search = planner_test::random_small_search(random, 5);
    if (search.space.cases.empty()) continue;
    const auto costs = search.in(search.space.cases.front(), Timing::serial);
    const auto kinds = unit_kinds(costs);
    Changes changes(costs, kinds);
    for (const auto& [key, fewest] : fewest_changes(costs, kinds)) {
      std::size_t tries = 100'000;
      ++all;
      if (fewest == 0 || changes.raised(key.first, key.second, fewest - 1, tries) == fewest) ++tight;
    }
  }
  EXPECT_GT(all, 500);
  EXPECT_GT(tight, all * 9 / 10);
}

TEST(Changes, StopWhereNoTriesAreLeft) {
  const planner_test::LargeSearch large({}, 1);
  const auto costs = large.costs(Timing::serial);
  const auto kinds = unit_kinds(costs);
  Sides sides(costs.units());
  for (std::size_t i = 0; i < sides.size(); ++i) sides[i] = i % 3 == 0 ? 1 : 0;
  const auto counts = counts_of(kinds, sides);
  Changes changes(costs, kinds);
  std::size_t tries = 5;
  EXPECT_FALSE(changes.arranged(counts, kOnGpu, 2 * 62, tries));
  EXPECT_EQ(tries, 0U);
  changes.raised(counts, kOnGpu, 2 * 62, tries);
  EXPECT_EQ(changes.lines().size(), 1U);
}

}  // namespace
}  // namespace tandem::planner
