#include "planner/plan_consistency.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
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
