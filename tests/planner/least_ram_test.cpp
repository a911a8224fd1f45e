#include "planner/least_ram.h"

#include <algorithm>
#include <optional>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::Sides;

/// The least RAM, as walked, of placements in the cases of a space that keep to the VRAM budget.
std::optional<std::uint64_t> least_walked(const planner_test::SmallSearch& search, const SearchSpace& space) {
  const auto walker = search.walker();
  std::optional<std::uint64_t> least;
  for (const auto& within : space.cases) {
    const CaseCosts costs{&space, &within, &search.costs, Timing::serial};
    for (const auto& sides : planner_test::all_sides(space.units.size())) {
      if (!planner_test::allows(costs, sides)) continue;
      const bool all_on_cpu = within.head == kOnCpu && std::ranges::count(sides, kOnGpu) == 0;
      if (within.needs_gpu && all_on_cpu) continue;
      const auto spent = spent_by(costs, sides);
      if (spent.vram_bytes > within.vram_limit_bytes) continue;
      const auto drafts = (spent.drafts_bytes + 63) / 64 * 64;
      const auto ram = within.ram_fixed_bytes + spent.ram_bytes + drafts;
      const auto walked = walker.walk(placement_of(space, within.head, sides), 1, 1, 1);
      EXPECT_LE(walked.vram_bytes, search.budget.vram_bytes);
      EXPECT_LE(walked.ram_bytes, ram) << "a case may take more than the placement, never less";
      if (!least || ram < *least) least = ram;
    }
  }
  return least;
}

TEST(LeastRam, IsTheLeastOfAllPlacements) {
  std::mt19937 random(97);
  int found = 0;
  for (int round = 0; round < 400; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    auto space = search.space;
    const auto least = least_walked(search, space);
    space.ram_budget_bytes = 0;  // nothing is good enough: the very least is wanted
    const auto mixed = least_ram(space);
    ASSERT_EQ(mixed.has_value(), least.has_value());
    if (!mixed) continue;
    ++found;
    ASSERT_EQ(mixed->ram_bytes, *least) << "round " << round;
    const auto just = least_ram(space, *least);
    ASSERT_TRUE(just && just->ram_bytes == *least) << "round " << round;
    ASSERT_FALSE(least_ram(space, *least - 1)) << "round " << round;
    const auto walked = search.walker().walk(mixed->placement, 1, 1, 1);
    ASSERT_LE(walked.vram_bytes, search.budget.vram_bytes);
    ASSERT_LE(walked.ram_bytes, mixed->ram_bytes);
  }
  EXPECT_GT(found, 300);
}

TEST(LeastRam, TakesTheFirstThatFitsTheBudget) {
  std::mt19937 random(98);
  int fitting = 0;
  for (int round = 0; round < 400; ++round) {
    const auto search = planner_test::random_small_search(random, 4);
    const auto mixed = least_ram(search.space);
    auto space = search.space;
    space.ram_budget_bytes = 0;
    const auto least = least_ram(space);
    ASSERT_EQ(mixed.has_value(), least.has_value());
    if (!mixed) continue;
    ASSERT_GE(mixed->ram_bytes, least->ram_bytes);
    if (least->ram_bytes > search.budget.ram_bytes) {
      ASSERT_EQ(mixed->ram_bytes, least->ram_bytes);
    } else {
      ASSERT_LE(mixed->ram_bytes, search.budget.ram_bytes);
      ++fitting;
    }
  }
  EXPECT_GT(fitting, 100);
}

/// 124 units of six kinds: their counts are few.
TEST(LeastRam, IsFoundForALargeModel) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-q4_k_m");
  const auto machine = builtin_machine("default");
  auto before = ~std::uint64_t{0};
  for (std::uint64_t gib = 2; gib <= 16; gib += 2) {
    const Budget budget{gib << 30U, Budget{}.ram_bytes, 0, 0};
    auto space = search_space(subject.input, budget, Workload{}, machine, Device::cuda0, std::nullopt);
    space.ram_budget_bytes = 0;
    const auto least = least_ram(space);
    ASSERT_TRUE(least);
    EXPECT_LT(least->ram_bytes + (std::uint64_t{1} << 30U), before)
        << "two GiB more of VRAM hold more than one";
    before = least->ram_bytes;
  }
}

}  // namespace
}  // namespace tandem::planner
