#include "daemon/plan_choice.h"

#include <algorithm>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/support/fixture.h"

namespace tandem::daemon {
namespace {

using memory::vram_at_start;
using planner::Device;
using ::testing::HasSubstr;

struct Question {
  Device gpu;
  std::uint64_t driver_bytes;
  model::Header header = model::read_header(test_support::reference_path("gemma4_8l.gguf"));
  planner::ModelInput model = planner::model_input(header, model::read_hyperparameters(header));
  planner::MachineProfile machine = planner::builtin_machine("default");

  [[nodiscard]] planner::Plan plan(std::uint64_t vram_bytes) {
    machine.driver_bytes = driver_bytes;
    planner::Workload workload;
    workload.max_seq_len = 256;
    workload.micro_batch = 16;
    return planner::make_plan(model, {.vram_bytes = vram_bytes}, workload, machine, {gpu});
  }
};

TEST(PlannedAgain, TakesNoMoreVramThanThereIs) {
  Question question{Device::emulated0, 0};
  const auto plan = question.plan(2 << 20);
  ASSERT_GT(plan.vram_bytes, 1U << 20);
  const auto short_of = vram_at_start(plan, {.free_bytes = 1 << 20, .total_bytes = 2 << 20});
  EXPECT_FALSE(short_of.enough());
  const auto again = planned_again(plan, cut_to_vram(plan.budget, short_of), short_of.shortage(),
                                   question.model, question.machine);
  EXPECT_TRUE(again.fits);
  EXPECT_LE(again.vram_bytes, 1U << 20);
  EXPECT_EQ(again.workload, plan.workload);
  EXPECT_THAT(again.reasons.front(), HasSubstr("1,048,576 are free"));
  EXPECT_THAT(again.reasons.back(), HasSubstr("times are of the profile default, not of this machine"));
  EXPECT_TRUE(vram_at_start(again, {.free_bytes = 1 << 20, .total_bytes = 2 << 20}).enough());
}

TEST(PlannedAgain, MayLeaveTheGpuOut) {
  Question question{Device::emulated0, 0};
  const auto plan = question.plan(2 << 20);
  const auto vram = vram_at_start(plan, {.free_bytes = 1000, .total_bytes = 2 << 20});
  const auto again =
      planned_again(plan, cut_to_vram(plan.budget, vram), vram.shortage(), question.model, question.machine);
  EXPECT_TRUE(again.fits);
  EXPECT_FALSE(planner::gpu_of(again));
  EXPECT_EQ(again.vram_bytes, 0U);
}

TEST(CutToVram, CountsWhatTheDriverTookAsThere) {
  memory::VramAtStart vram;
  vram.free_bytes = 100;
  vram.driver_bytes = 20;
  EXPECT_EQ(cut_to_vram({.vram_bytes = 200}, vram).vram_bytes, 120U);
  EXPECT_EQ(cut_to_vram({.vram_bytes = 90}, vram).vram_bytes, 90U) << "more is free than was allowed";
}

}  // namespace
}  // namespace tandem::daemon
