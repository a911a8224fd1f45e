#include "planner/plan_consistency.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/gpu_rules.h"
#include "planner/make_plan.h"
#include "planner/plan_json.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

Plan plan_of(const planner_test::Subject& subject) {
  Budget budget;
  budget.vram_bytes = 6'000'000'000;
  return make_plan(subject.input, budget, Workload{}, builtin_machine("default"), {});
}

TEST(CheckPlan, AcceptsAPlanForItsModelAlsoFromAFileOfAnotherName) {
  auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  const auto plan = parse_plan(plan_to_text(plan_of(subject)));
  EXPECT_NO_THROW(check_plan(plan, subject.input));
  subject.input.facts.name = "another name";
  subject.input.facts.missing_bytes = 0;
  EXPECT_NO_THROW(check_plan(plan, subject.input));
}

TEST(CheckPlan, RefusesAPlanForAnotherModel) {
  const auto plan = plan_of(planner_test::catalogue_subject("gemma4-12b-qat-q4_0"));
  for (const auto* other : {"gemma4-12b-q4_k_m", "gemma3-12b-qat-q4_0", "gemma4-31b-qat-q4_0"}) {
    EXPECT_THROW(check_plan(plan, planner_test::catalogue_subject(other).input), BadPlan) << other;
  }
}

TEST(CheckPlan, RefusesArenasThatAgreeWithEachOtherButNotWithTheModel) {
  const auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  const auto plan = plan_of(subject);
  for (const auto purpose : {Purpose::activations, Purpose::kv_staging, Purpose::logits}) {
    auto changed = plan;
    const auto arena = std::ranges::find(changed.arenas, purpose, &ArenaPlan::purpose);
    ASSERT_NE(arena, changed.arenas.end());
    arena->bytes -= 64;
    (arena->device == Device::cpu ? changed.ram_bytes : changed.vram_bytes) -= 64;
    EXPECT_NO_THROW(check_consistency(changed));
    EXPECT_THROW(check_plan(changed, subject.input), BadPlan);
  }
}

/// Bytes may agree where the backend would refuse what lies there.
TEST(CheckPlan, RefusesUnitsWhereNoGpuCanRunThem) {
  std::mt19937 random(71);
  int refused = 0;
  for (int round = 0; round < 200; ++round) {
    const auto subject = planner_test::random_odd_subject(random, 3);
    const auto layers = subject.hyper.layers.size();
    const auto placement = planner_test::random_placement(random, layers, Device::emulated0);
    Workload workload;
    workload.stream_rows = 0;
    const auto plan =
        plan_for_placement(subject.input, Budget{}, workload, builtin_machine("default"), placement);
    const bool may_be = std::ranges::all_of(all_units(layers), [&](UnitRef unit) {
      return placement.device_of(unit) == Device::cpu || may_be_on_gpu(subject.input, unit);
    });
    EXPECT_NO_THROW(check_consistency(plan));
    if (may_be) {
      EXPECT_NO_THROW(check_plan(plan, subject.input));
    } else {
      ++refused;
      EXPECT_THROW(check_plan(plan, subject.input), BadPlan);
    }
  }
  EXPECT_GT(refused, 50);
}

TEST(CheckPlan, RefusesToStreamWhatNoGpuCanRun) {
  auto subject = planner_test::catalogue_subject("gemma3-4b-qat-q4_0");
  auto placement = most_on(Device::cuda0, subject.input);
  placement.move({UnitKind::ffn, 3}, Device::cpu);
  Workload workload;
  workload.stream_rows = 32;
  const auto machine = builtin_machine("default");
  const auto streaming = plan_for_placement(subject.input, Budget{}, workload, machine, placement);
  EXPECT_NO_THROW(check_plan(streaming, subject.input));
  subject.input.layers[3].ffn.not_on_gpu = "blk.3.ffn_down.weight is odd";
  EXPECT_THROW(check_plan(streaming, subject.input), BadPlan);
  auto claiming = plan_for_placement(subject.input, Budget{}, workload, machine, placement);
  EXPECT_EQ(claiming.workload.stream_rows, 0U);
  EXPECT_NO_THROW(check_plan(claiming, subject.input));
  claiming.workload.stream_rows = 32;
  EXPECT_THROW(check_plan(claiming, subject.input), BadPlan);
}

TEST(CheckPlan, TakesTheDriverLineAsItStands) {
  const auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  auto plan = plan_of(subject);
  for (auto& arena : plan.arenas) {
    if (arena.purpose == Purpose::driver) arena.bytes += 1000;
  }
  EXPECT_NO_THROW(check_plan(plan, subject.input));
}

}  // namespace
}  // namespace tandem::planner
