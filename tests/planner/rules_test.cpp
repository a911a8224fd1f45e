#include "planner/rules.h"

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "tests/planner/slow_walk.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;

TEST(Rules, FillTheGpuAndLeaveOutNoUnitThatWouldStillFit) {
  std::mt19937 random(11);
  int spilled = 0;
  for (int round = 0; round < 100; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto workload = planner_test::random_workload(random);
    workload.expected_context = 1;
    auto machine = builtin_machine("default");
    machine.driver_bytes = 5000;
    Budget budget;
    const auto layers = subject.hyper.layers.size();
    const planner_test::SlowWalk walker(subject.header, subject.hyper, budget, workload, machine,
                                        Device::cuda0);
    const auto vram = [&](const Placement& placement) { return walker.walk(placement, 1, 1, 1).vram_bytes; };
    budget.vram_bytes = pick(random, 0, vram(Placement::all_on(Device::cuda0, layers)) + 5000);
    for (const auto& [rule, placement] :
         rules_of_thumb(subject.input, budget, workload, machine, Device::cuda0)) {
      ASSERT_LE(vram(placement), budget.vram_bytes) << rule;
      for (const auto unit : all_units(layers)) {
        if (placement.device_of(unit) == Device::cuda0) continue;
        ++spilled;
        auto grown = placement;
        grown.move(unit, Device::cuda0);
        ASSERT_GT(vram(grown), budget.vram_bytes) << rule << ", round " << round;
      }
    }
  }
  EXPECT_GT(spilled, 100);
}

TEST(Rules, StayWithinTheRamBudget) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Budget budget;
  Workload workload;
  workload.expected_context = 2048;
  const auto machine = builtin_machine("default");
  EXPECT_EQ(rules_of_thumb(subject.input, budget, workload, machine, Device::cuda0).size(), 3U);
  budget.ram_bytes = 1'000'000;
  EXPECT_TRUE(rules_of_thumb(subject.input, budget, workload, machine, Device::cuda0).empty());
}

}  // namespace
}  // namespace tandem::planner
