#include "planner/unit_counts.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/planner/unit_sides.h"

namespace tandem::planner {
namespace {

using planner_test::arrangement_of;
using planner_test::counts_of;
using planner_test::pick;
using planner_test::Sides;

TEST(UnitCounts, TakeWhatAWalkThroughAnyPlacementOfThemTakes) {
  std::mt19937 random(71);
  for (int round = 0; round < 300; ++round) {
    const auto search = planner_test::random_small_search(random, 9);
    if (search.space.cases.empty()) continue;
    const auto walker = search.walker();
    const auto& within = search.space.cases[pick(random, 0, search.space.cases.size() - 1)];
    const auto costs = search.in(within, Timing::serial);
    const auto kinds = unit_kinds(costs);
    for (int times = 0; times < 20; ++times) {
      Sides sides(costs.units());
      std::ranges::generate(sides, [&] { return static_cast<std::uint8_t>(pick(random, 0, 1)); });
      const auto spent = spent_by(costs, kinds, counts_of(kinds, sides), arrangement_of(sides, within.head));
      const auto walked = walker.walk(placement_of(search.space, within.head, sides), 1, search.step.context,
                                      search.step.sequences);
      ASSERT_EQ(spent.busy_ps[kOnCpu], walked.cpu_ps);
      ASSERT_EQ(spent.busy_ps[kOnGpu], walked.gpu_ps);
      ASSERT_EQ(spent.travel_ps, walked.travel_ps);
      ASSERT_EQ(spent, spent_by(costs, sides));
    }
  }
}

TEST(UnitCounts, TellUnitsApartByBytesAndTimes) {
  const planner_test::LargeSearch large({}, 1);
  const auto costs = large.costs(Timing::serial);
  const auto kinds = unit_kinds(costs);
  // Attention that slides or does not, and FFNs, each with and without Q6_K tensors.
  ASSERT_EQ(kinds.kinds.size(), 6U);
  std::uint32_t units = 0;
  for (const auto& kind : kinds.kinds) units += kind.units;
  EXPECT_EQ(units, 2 * 62U);
  for (std::size_t i = 0; i < costs.units(); ++i) {
    const auto& kind = kinds.kinds[kinds.of_unit[i]];
    EXPECT_EQ(kind.bytes.vram_bytes, large.space.units[i].vram_bytes);
    EXPECT_EQ(kind.unit_ps, large.step.unit_ps[i]);
  }
}

}  // namespace
}  // namespace tandem::planner
