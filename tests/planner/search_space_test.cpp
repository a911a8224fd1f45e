#include "planner/search_space.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/planner/small_searches.h"

namespace tandem::planner {
namespace {

using planner_test::Sides;

/// Sums of a placement against the limits of a case, written out.
bool within_limits(const SearchSpace& space, const SearchCase& within, const Sides& sides) {
  std::uint64_t vram = 0;
  std::uint64_t ram = within.ram_fixed_bytes;
  std::uint64_t drafts = 0;
  for (std::size_t i = 0; i < sides.size(); ++i) {
    const auto& unit = space.units[i];
    if (!within.allowed[unit.sort][sides[i]]) return false;
    vram += sides[i] == kOnGpu ? unit.vram_bytes : 0;
    ram += sides[i] == kOnCpu ? unit.ram_bytes : 0;
    drafts += sides[i] == kOnCpu ? unit.drafts_bytes : 0;
  }
  return vram <= within.vram_limit_bytes && ram + (drafts + 63) / 64 * 64 <= space.ram_budget_bytes;
}

bool is_in_space(const SearchSpace& space, std::size_t head, const Sides& sides) {
  return std::ranges::any_of(space.cases, [&](const SearchCase& within) {
    return within.head == head && within_limits(space, within, sides);
  });
}

/// Devices change so often from the embedding to the head that rows cross in both directions.
bool crosses_both_ways(const SearchSpace& space, std::size_t head, const Sides& sides) {
  bool to_gpu = false;
  bool to_cpu = false;
  auto from = space.embedding(head);
  const auto pass = [&](std::size_t to) {
    to_gpu = to_gpu || (from == kOnCpu && to == kOnGpu);
    to_cpu = to_cpu || (from == kOnGpu && to == kOnCpu);
    from = to;
  };
  for (const auto side : sides) pass(side);
  pass(head);
  return to_gpu && to_cpu;
}

TEST(SearchSpace, HoldsExactlyThePlacementsThatFit) {
  std::mt19937 random(61);
  int fitting = 0;
  int misfits = 0;
  for (int round = 0; round < 400; ++round) {
    const auto search = planner_test::random_small_search(random, 3);
    const auto walker = search.walker();
    ASSERT_TRUE(search.space.exact);
    for (const auto& sides : planner_test::all_sides(search.space.units.size())) {
      for (const auto head : {kOnCpu, kOnGpu}) {
        const auto placement = placement_of(search.space, head, sides);
        const bool fits = walker.fits(placement);
        if (!crosses_both_ways(search.space, head, sides)) {
          ASSERT_NE(std::ranges::find(search.space.few_crossings, placement),
                    search.space.few_crossings.end());
          continue;
        }
        ASSERT_EQ(is_in_space(search.space, head, sides), fits) << "round " << round;
        ++(fits ? fitting : misfits);
      }
    }
  }
  EXPECT_GT(fitting, 1000);
  EXPECT_GT(misfits, 1000);
}

TEST(SearchSpace, KeepsTheHeadWhereItMustBe) {
  std::mt19937 random(62);
  for (int round = 0; round < 100; ++round) {
    const auto search = planner_test::random_small_search(random, 4);
    for (const auto device : {Device::cpu, Device::cuda0}) {
      const auto space = search_space(search.subject.input, search.budget, search.workload, search.machine,
                                      Device::cuda0, device);
      for (const auto& within : space.cases) EXPECT_EQ(within.head == kOnCpu, device == Device::cpu);
      for (const auto& placement : space.few_crossings) EXPECT_EQ(placement.head, device);
    }
  }
}

TEST(SearchSpace, RamMayBindUnlessEverythingFitsOnTheCpu) {
  std::mt19937 random(63);
  for (int round = 0; round < 100; ++round) {
    auto search = planner_test::random_small_search(random, 4);
    const auto walker = search.walker();
    const auto layers = search.subject.hyper.layers.size();
    std::uint64_t most = 0;
    for (const auto& sides : planner_test::all_sides(search.space.units.size())) {
      for (const auto head : {kOnCpu, kOnGpu})
        most = std::max(most, walker.walk(placement_of(search.space, head, sides), 1, 1, 1).ram_bytes);
    }
    ASSERT_EQ(search.space.units.size(), 2 * layers);
    ASSERT_TRUE(search.space.ram_may_bind || most <= search.budget.ram_bytes);
  }
}

TEST(StepCosts, AreThoseOfAWalkUnitByUnit) {
  std::mt19937 random(64);
  for (int round = 0; round < 200; ++round) {
    const auto search = planner_test::random_small_search(random, 4);
    const auto walker = search.walker();
    const auto layers = search.subject.hyper.layers.size();
    // All on one device: nothing travels but from an embedding of the CPU's own.
    for (const auto side : {kOnCpu, kOnGpu}) {
      const auto placement =
          placement_of(search.space, side, Sides(2 * layers, static_cast<std::uint8_t>(side)));
      const auto walked = walker.walk(placement, 1, search.step.context, search.step.sequences);
      auto busy_ps = search.costs.head_ps[side] + search.costs.stage_ps[side];
      for (const auto& unit_ps : search.costs.unit_ps) busy_ps += unit_ps[side];
      ASSERT_EQ(busy_ps, side == kOnCpu ? walked.cpu_ps : walked.gpu_ps);
      const bool travels = search.space.embedding(side) != side;
      ASSERT_EQ(travels ? search.costs.crossing_ps : 0, walked.travel_ps);
    }
  }
}

}  // namespace
}  // namespace tandem::planner
