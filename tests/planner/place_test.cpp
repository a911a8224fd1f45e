#include "planner/place.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "planner/plan_consistency.h"
#include "tests/planner/slow_bytes.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::slow_vram;

/// Bytes of the model with everything on `gpu`, by the slow count.
std::uint64_t everything_vram(const planner_test::Subject& subject, const Workload& workload, Device gpu,
                              std::uint64_t driver_bytes) {
  const auto placement = Placement::all_on(gpu, subject.hyper.layers.size());
  return slow_vram(
      planner_test::slow_bytes(subject.header, subject.hyper, Budget{}, workload, driver_bytes, placement));
}

TEST(Place, LeavesOutNoUnitThatWouldStillFit) {
  std::mt19937 random(11);
  int spilled = 0;
  for (int round = 0; round < 120; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto workload = planner_test::random_workload(random);
    auto machine = builtin_machine("default");
    machine.driver_bytes = 5000;
    Budget budget;
    budget.vram_bytes = pick(random, 0, everything_vram(subject, workload, Device::cuda0, 5000) + 5000);
    const auto plan = make_plan(subject.input, budget, workload, machine, {Device::cuda0});
    const auto placement = placement_of(plan);
    const auto vram = [&](const Placement& candidate) {
      return slow_vram(
          planner_test::slow_bytes(subject.header, subject.hyper, budget, workload, 5000, candidate));
    };
    ASSERT_LE(vram(placement), budget.vram_bytes);
    for (const auto unit : all_units(subject.hyper.layers.size())) {
      if (placement.device_of(unit) == Device::cuda0) continue;
      ++spilled;
      auto grown = placement;
      grown.move(unit, Device::cuda0);
      ASSERT_GT(vram(grown), budget.vram_bytes) << "round " << round;
    }
  }
  EXPECT_GT(spilled, 100);
}

TEST(Place, TakesEverythingToTheByteAndOneByteLessSpills) {
  std::mt19937 random(13);
  for (int round = 0; round < 60; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto workload = planner_test::random_workload(random);
    const auto layers = subject.hyper.layers.size();
    const auto needed = everything_vram(subject, workload, Device::emulated0, 0);
    Budget budget;
    budget.vram_bytes = needed;
    const auto machine = builtin_machine("default");
    EXPECT_EQ(placement_of(make_plan(subject.input, budget, workload, machine, {Device::emulated0})),
              Placement::all_on(Device::emulated0, layers));
    budget.vram_bytes = needed - 1;
    EXPECT_NE(placement_of(make_plan(subject.input, budget, workload, machine, {Device::emulated0})),
              Placement::all_on(Device::emulated0, layers));
  }
}

TEST(Place, OrdersCandidatesByTimeWithinTheRamBudget) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Workload workload;
  workload.expected_context = 2048;
  Budget budget;
  const auto machine = builtin_machine("default");
  const auto candidates = place(subject.input, budget, workload, machine, Device::cuda0);
  ASSERT_GT(candidates.size(), 1U);
  EXPECT_TRUE(std::ranges::is_sorted(candidates, {}, &Candidate::decode_us));

  budget.ram_bytes = std::ranges::min(candidates, {}, &Candidate::ram_bytes).ram_bytes;
  EXPECT_EQ(place(subject.input, budget, workload, machine, Device::cuda0).front().ram_bytes,
            budget.ram_bytes);
  budget.ram_bytes -= 1;
  EXPECT_GT(place(subject.input, budget, workload, machine, Device::cuda0).front().ram_bytes,
            budget.ram_bytes);
}

}  // namespace
}  // namespace tandem::planner
