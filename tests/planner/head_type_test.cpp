#include "planner/head_type.h"

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/make_plan.h"
#include "planner/plan_consistency.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

TEST(HeadType, CountsBlocksOfTheStoredType) {
  const auto file = planner_test::catalogue_subject("gemma3-27b-qat-q4_0").input;
  ASSERT_TRUE(has_float_head(file));
  const std::uint64_t elems = 262'144ULL * 5376;
  const std::uint64_t norm_bytes = 5376 * 4;
  const auto q8_0 = with_head_type(file, HeadType::q8_0);
  EXPECT_EQ(q8_0.head_type, "Q8_0");
  EXPECT_EQ(q8_0.head.bytes, elems / 32 * 34 + norm_bytes);
  EXPECT_EQ(q8_0.head.copied_bytes, elems / 32 * 34 + norm_bytes);  // both are multiples of 64
  const auto q6_k = with_head_type(file, HeadType::q6_k);
  EXPECT_EQ(q6_k.head_type, "Q6_K");
  EXPECT_EQ(q6_k.head.bytes, elems / 256 * 210 + norm_bytes);
  EXPECT_EQ(q6_k.facts, file.facts);
  EXPECT_EQ(with_head_type(file, HeadType::keep).head, file.head);
}

TEST(HeadType, KeepsWhatIsQuantised) {
  const auto file = planner_test::catalogue_subject("gemma4-12b-qat-q4_0").input;
  EXPECT_FALSE(has_float_head(file));
  EXPECT_EQ(with_head_type(file, HeadType::q8_0).head, file.head);
}

TEST(HeadType, RefusesRowsThatAreNoWholeBlocks) {
  auto file = planner_test::catalogue_subject("gemma3-4b-qat-q4_0").input;
  file.hyper.width = 2560 + 32;
  EXPECT_THROW(with_head_type(file, HeadType::q6_k), BadQuestion);
  EXPECT_NO_THROW(with_head_type(file, HeadType::q8_0));
}

TEST(HeadType, PlansOfRandomModelsAgreeWithTheirFiles) {
  std::mt19937 random(61);
  int stored = 0;
  for (int round = 0; round < 200; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto workload = planner_test::random_workload(random);
    workload.head_type = HeadType::q8_0;
    Budget budget;
    budget.vram_bytes = planner_test::pick(random, 0, 1'000'000);
    const auto plan =
        make_plan(subject.input, budget, workload, builtin_machine("default"), {Device::emulated0});
    EXPECT_NO_THROW(check_consistency(plan));
    EXPECT_NO_THROW(check_plan(plan, subject.input));
    EXPECT_EQ(plan.head.file_bytes, subject.input.head.bytes);
    EXPECT_EQ(plan.workload.head_type == HeadType::keep, plan.head.type == plan.head.file_type);
    if (plan.workload.head_type == HeadType::q8_0) ++stored;
    auto wrong = plan;
    wrong.head.type = "Q5_K";
    EXPECT_ANY_THROW(check_consistency(wrong));
  }
  EXPECT_GT(stored, 20);
}

}  // namespace
}  // namespace tandem::planner
