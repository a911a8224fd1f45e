#include "planner/label_search.h"

#include <array>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::Sides;

constexpr std::array kTimings{Timing::serial, Timing::overlapped};
constexpr auto kUnknown = std::numeric_limits<Picoseconds>::max() / 4;

/// The search with enough to spend, where nothing that takes `known_ps` or more is wanted.
SearchResult found_below(const CaseCosts& costs, Picoseconds known_ps) {
  std::vector<Sides> tried;
  const auto bound = Bound::best(costs, tried);
  std::size_t left = 1'000'000;
  return search_labels(costs, bound, known_ps, left);
}

void expect_fastest(const CaseCosts& costs) {
  const auto least_ps = planner_test::least_ps(costs);
  const auto found = found_below(costs, kUnknown);
  ASSERT_TRUE(found.complete);
  ASSERT_EQ(found.sides.has_value(), least_ps.has_value());
  if (!least_ps) return;
  ASSERT_EQ(found.time_ps, *least_ps);
  ASSERT_TRUE(planner_test::allows(costs, *found.sides));
  ASSERT_TRUE(spent_by(costs, *found.sides).fits(costs));
  ASSERT_EQ(spent_by(costs, *found.sides).time_ps(costs.timing), *least_ps);
  const auto none = found_below(costs, *least_ps);
  ASSERT_FALSE(none.sides) << "as fast is not faster";
  ASSERT_TRUE(none.complete);
  const auto same = found_below(costs, *least_ps + 1);
  ASSERT_TRUE(same.sides && same.complete);
  ASSERT_EQ(same.time_ps, *least_ps);
}

TEST(LabelSearch, FindsTheFastestOfAllPlacementsOfACase) {
  std::mt19937 random(95);
  int cases = 0;
  for (int round = 0; round < 1500; ++round) {
    const auto search = planner_test::random_small_search(random, round % 50 == 0 ? 5 : 3);
    if (search.space.cases.empty()) continue;
    const auto& within = search.space.cases[pick(random, 0, search.space.cases.size() - 1)];
    if (within.ram_fixed_bytes > search.space.ram_budget_bytes) continue;
    expect_fastest(search.in(within, kTimings[pick(random, 0, 1)]));
    if (HasFatalFailure()) return;
    ++cases;
  }
  EXPECT_GT(cases, 900);
}

TEST(LabelSearch, StopsWhereNoLabelsAreLeft) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-q4_k_m");
  const Workload workload;
  const auto machine = builtin_machine("default");
  const Budget budget{std::uint64_t{8} << 30U, Budget{}.ram_bytes, 0, 0};
  const auto space = search_space(subject.input, budget, workload, machine, Device::cuda0, std::nullopt);
  const auto step = step_costs(subject.input, workload, machine, Device::cuda0, {1, 2048, 1});
  const CaseCosts costs{&space, &space.cases.front(), &step, Timing::serial};
  std::vector<Sides> tried;
  const auto bound = Bound::best(costs, tried);
  std::size_t left = 100;
  const auto found = search_labels(costs, bound, kUnknown, left);
  EXPECT_FALSE(found.complete);
  EXPECT_FALSE(found.sides);
  EXPECT_EQ(left, 0U);
}

}  // namespace
}  // namespace tandem::planner
