#include "planner/bound.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
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

/// No placement that fits is said to be impossible by any bound that is found, nor any beginning of one.
TEST(Bound, IsBelowEveryPlacementThatFitsAndBelowItsBeginnings) {
  std::mt19937 random(92);
  int placements = 0;
  for (int round = 0; round < 40; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto timing = kTimings[pick(random, 0, 1)];
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, timing);
      std::vector<Sides> tried;
      const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
      for (const auto& sides : planner_test::all_sides(costs.units())) {
        if (!planner_test::allows(costs, sides) || !spent_by(costs, sides).fits(costs)) continue;
        const auto time_ps = spent_by(costs, sides).time_ps(timing);
        ++placements;
        for (const auto& bound : bounds) {
          ASSERT_FALSE(bound.dismisses(time_ps + 1));
          ASSERT_LE(bound.prices().of(spent_by(costs, sides)), bound.most_in_all(time_ps + 1));
          Spent spent;
          std::size_t from = CaseCosts::kStart;
          for (std::size_t i = 0; i < sides.size(); ++i) {
            spent.add(costs, i, from, sides[i]);
            from = sides[i];
            const auto above =
                bound.prices().of(spent) + bound.rest(i + 1, from) - bound.rest(0, CaseCosts::kStart);
            ASSERT_LE(above, bound.beaten_by(time_ps + 1) - bound.root()) << "unit " << i;
          }
        }
      }
    }
  }
  EXPECT_GT(placements, 1000);
}

/// The price of the units before one, and of coming from there, is that of the cheapest beginning.
TEST(Bound, KnowsTheCheapestBeginnings) {
  std::mt19937 random(96);
  for (int round = 0; round < 60; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    for (const auto& within : search.space.cases) {
      const auto costs = search.in(within, kTimings[pick(random, 0, 1)]);
      std::vector<Sides> tried;
      const auto bounds = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
      const auto& bound = bounds[pick(random, 0, bounds.size() - 1)];
      std::vector<std::array<double, 2>> least(
          costs.units(), {std::numeric_limits<double>::infinity(), std::numeric_limits<double>::infinity()});
      for (const auto& sides : planner_test::all_sides(costs.units())) {
        Spent spent;
        std::size_t from = CaseCosts::kStart;
        for (std::size_t i = 0; i < sides.size(); ++i) {
          auto with_change = spent;
          with_change.change(costs, from, sides[i]);
          least[i][sides[i]] = std::min(least[i][sides[i]], bound.prices().of(with_change));
          if (!costs.allows(i, sides[i])) break;
          spent.add(costs, i, from, sides[i]);
          from = sides[i];
        }
      }
      const auto before = bound.before();
      ASSERT_EQ(before.size(), least.size());
      for (std::size_t i = 0; i < least.size(); ++i) {
        for (const auto side : {kOnCpu, kOnGpu}) {
          if (std::isinf(least[i][side])) {
            ASSERT_TRUE(std::isinf(before[i][side]));
          } else {
            ASSERT_NEAR(before[i][side], least[i][side], 1e-9 * least[i][side]) << "unit " << i;
          }
        }
      }
    }
  }
}

TEST(Bound, ComesWithTheHighestOneFirstAndEndsWithOneThatDismisses) {
  std::mt19937 random(94);
  int several = 0;
  int dismissed = 0;
  for (int round = 0; round < 200; ++round) {
    const auto search = planner_test::random_small_search(random, 6);
    if (search.space.cases.empty()) continue;
    const auto costs = search.in(search.space.cases.front(), kTimings[pick(random, 0, 1)]);
    std::vector<Sides> tried;
    const auto all = Bound::good_ones(costs, planner_test::kUnknownPs, tried);
    ASSERT_TRUE(std::ranges::is_sorted(all, std::ranges::greater{}, &Bound::root));
    several += all.size() > 1 ? 1 : 0;
    if (!std::isfinite(all.front().root())) continue;
    const auto some = Bound::good_ones(costs, 0, tried);
    ASSERT_TRUE(some.front().dismisses(0));
    ASSERT_LE(some.size(), all.size());
    ++dismissed;
  }
  EXPECT_GT(several, 50);
  EXPECT_GT(dismissed, 50);
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
    Bound::good_ones(costs, planner_test::kUnknownPs, tried);
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
      const CaseCosts costs{&space, &within, &step, Timing::serial};
      root = std::min(root, Bound::good_ones(costs, planner_test::kUnknownPs, tried).front().root());
    }
    const auto best = fastest(subject.input, budget, workload, machine, Device::cuda0);
    ASSERT_TRUE(best);
    EXPECT_LE(root, static_cast<double>(best->time_ps));
    EXPECT_GT(root, static_cast<double>(best->time_ps) * 0.99);
  }
}

}  // namespace
}  // namespace tandem::planner
