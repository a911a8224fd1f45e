#include "planner/bound.h"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

#include "planner/optimum.h"
#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::Sides;

constexpr std::array kTimings{Timing::serial, Timing::overlapped};

TEST(Spent, IsWhatAWalkUnitByUnitTakes) {
  std::mt19937 random(91);
  for (int round = 0; round < 150; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto walker = search.walker();
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, Timing::serial);
      const auto all = planner_test::all_sides(costs.units());
      const auto& sides = all[pick(random, 0, all.size() - 1)];
      const auto spent = spent_by(costs, sides);
      const auto walked = walker.walk(placement_of(search.space, within.head, sides), 1, search.step.context,
                                      search.step.sequences);
      ASSERT_EQ(spent.busy_ps[kOnCpu], walked.cpu_ps);
      ASSERT_EQ(spent.busy_ps[kOnGpu], walked.gpu_ps);
      ASSERT_EQ(spent.travel_ps, walked.travel_ps);
      ASSERT_EQ(spent.time_ps(Timing::serial), walked.serial_ps());
      ASSERT_EQ(spent.time_ps(Timing::overlapped),
                std::max({2 * walked.cpu_ps, 2 * walked.gpu_ps, walked.serial_ps()}));
    }
  }
}

TEST(Bound, IsBelowEveryPlacementThatFitsAndBelowItsBeginnings) {
  std::mt19937 random(92);
  int placements = 0;
  for (int round = 0; round < 40; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto timing = kTimings[pick(random, 0, 1)];
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, timing);
      std::vector<Sides> tried;
      const auto bound = Bound::best(costs, tried);
      for (const auto& sides : planner_test::all_sides(costs.units())) {
        if (!planner_test::allows(costs, sides) || !spent_by(costs, sides).fits(costs)) continue;
        const auto time_ps = spent_by(costs, sides).time_ps(timing);
        ++placements;
        ASSERT_LE(bound.root(), bound.beaten_by(time_ps + 1));
        Spent spent;
        std::size_t from = CaseCosts::kStart;
        for (std::size_t i = 0; i < sides.size(); ++i) {
          spent.add(costs, i, from, sides[i]);
          from = sides[i];
          ASSERT_LE(bound.after(spent, i + 1, from), bound.beaten_by(time_ps + 1)) << "unit " << i;
        }
      }
    }
  }
  EXPECT_GT(placements, 1000);
}

TEST(Bound, CollectsOnlyPlacementsThatFit) {
  std::mt19937 random(93);
  std::size_t met = 0;
  for (int round = 0; round < 300; ++round) {
    const auto search = planner_test::random_small_search(random, 6);
    if (search.space.cases.empty()) continue;
    const auto& within = search.space.cases[pick(random, 0, search.space.cases.size() - 1)];
    const auto costs = search.in(within, kTimings[pick(random, 0, 1)]);
    std::vector<Sides> tried;
    Bound::best(costs, tried);
    for (const auto& sides : tried) ASSERT_TRUE(spent_by(costs, sides).fits(costs));
    met += tried.size();
  }
  EXPECT_GT(met, 100U);
}

/// Units are small beside the whole of sixty layers, so little is between the bound and the best.
TEST(Bound, IsWithinAHundredthOfTheBestOfALargeModel) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Workload workload;
  workload.expected_context = 2048;
  const auto machine = builtin_machine("default");
  for (const std::uint64_t gib : {4, 8, 12, 16}) {
    const Budget budget{gib << 30U, Budget{}.ram_bytes, 0, 0};
    const auto space = search_space(subject.input, budget, workload, machine, Device::cuda0, std::nullopt);
    const auto step = step_costs(subject.input, workload, machine, Device::cuda0, decode_step(workload));
    auto root = std::numeric_limits<double>::max();
    for (const auto& within : space.cases) {
      std::vector<Sides> tried;
      root = std::min(root, Bound::best({&space, &within, &step, Timing::serial}, tried).root());
    }
    const auto best = fastest(subject.input, budget, workload, machine, Device::cuda0);
    ASSERT_TRUE(best);
    EXPECT_LE(root, static_cast<double>(best->time_ps));
    EXPECT_GT(root, static_cast<double>(best->time_ps) * 0.99);
  }
}

}  // namespace
}  // namespace tandem::planner
