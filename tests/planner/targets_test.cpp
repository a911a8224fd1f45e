#include "planner/targets.h"

#include <algorithm>
#include <cmath>

#include <gtest/gtest.h>

#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

Setting spilling_setting() {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Setting setting{subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
  setting.workload.sequences = 1;
  return setting;
}

const AnswerRow* found_row(const Answer& answer, const std::string& label) {
  const auto row = std::ranges::find(answer.rows, label, &AnswerRow::label);
  return row == answer.rows.end() ? nullptr : &*row;
}

double speed(const Plan& plan) {
  return plan.predicted.decode_tok_per_s;
}

TEST(Reaches, ComparesSpeedOrTime) {
  auto plan = plan_of(spilling_setting());
  plan.predicted.decode_tok_per_s = 10;
  plan.predicted.prefill_tok_per_s = 100;
  plan.workload.expected_context = 250;
  EXPECT_TRUE(reaches(plan, {TargetKind::decode_tok_per_s, 10}));
  EXPECT_FALSE(reaches(plan, {TargetKind::decode_tok_per_s, 10.01}));
  EXPECT_TRUE(reaches(plan, {TargetKind::first_token_s, 2.5}));
  EXPECT_FALSE(reaches(plan, {TargetKind::first_token_s, 2.49}));
  plan.fits = false;
  EXPECT_FALSE(reaches(plan, {TargetKind::decode_tok_per_s, 1}));
}

TEST(WhatReaches, FindsTheLeastVramToTheByte) {
  auto setting = spilling_setting();
  for (const double tok_per_s : {5.0, 6.5, 8.0, 11.0}) {
    const auto answer = what_reaches(setting, {TargetKind::decode_tok_per_s, tok_per_s}, {});
    const auto* row = found_row(answer, "least VRAM");
    ASSERT_NE(row, nullptr);
    EXPECT_GE(speed(*row->plan), tok_per_s);
    setting.budget.vram_bytes = *row->value;
    EXPECT_GE(speed(plan_of(setting)), tok_per_s);
    setting.budget.vram_bytes = *row->value - 1;
    EXPECT_LT(speed(plan_of(setting)), tok_per_s);
    // No smaller budget reaches it either, in steps of 512 MiB.
    for (auto vram = *row->value; vram > (512U << 20); vram -= 512U << 20) {
      setting.budget.vram_bytes = vram - (512U << 20);
      EXPECT_LT(speed(plan_of(setting)), tok_per_s) << setting.budget.vram_bytes;
    }
  }
}

TEST(WhatReaches, ShowsTheBestOfTheMachineWhereNothingDoes) {
  const auto answer = what_reaches(spilling_setting(), {TargetKind::decode_tok_per_s, 1000}, {});
  EXPECT_FALSE(answer.answered());
  EXPECT_EQ(found_row(answer, "least VRAM"), nullptr);
  const auto* row = found_row(answer, "all on the GPU");
  ASSERT_NE(row, nullptr);
  EXPECT_EQ(row->plan->stages.size(), 1U);
}

TEST(WhatReaches, TriesEveryOtherKvType) {
  auto setting = spilling_setting();
  const Target target{TargetKind::decode_tok_per_s, 1};
  const auto answer = what_reaches(setting, target, {});
  EXPECT_NE(found_row(answer, "KV in q8_0"), nullptr);
  EXPECT_NE(found_row(answer, "KV in f32"), nullptr);
  EXPECT_EQ(found_row(answer, "KV in f16"), nullptr);
  setting.model.hyper.layers[0].head_dim = 24;
  EXPECT_EQ(found_row(what_reaches(setting, target, {}), "KV in q8_0"), nullptr);
}

TEST(WhatReaches, TriesEachCardWithItsOwnMemory) {
  const auto setting = spilling_setting();
  const auto cards = known_gpus();
  const auto answer = what_reaches(setting, {TargetKind::decode_tok_per_s, 20}, cards);
  std::uint64_t previous = 0;
  for (const auto& card : cards) {
    const auto* row = found_row(answer, card.name);
    ASSERT_NE(row, nullptr) << card.name;
    EXPECT_EQ(row->plan->budget.vram_bytes, card.vram_bytes);
    EXPECT_EQ(row->holds, row->plan->fits && speed(*row->plan) >= 20) << card.name;
  }
  EXPECT_TRUE(found_row(answer, "rtx4090")->holds);
  EXPECT_FALSE(found_row(answer, "rtx3060-12gb")->holds);
  for (const auto& row : answer.rows) {
    if (row.label.starts_with("rtx")) {
      EXPECT_GE(*row.value, previous) << "cards rise in memory";
      previous = *row.value;
    }
  }
}

TEST(WhatReaches, WithoutAGpuThereIsOnlyTheKvType) {
  auto setting = spilling_setting();
  setting.devices.gpu.reset();
  const auto answer = what_reaches(setting, {TargetKind::first_token_s, 1e6}, known_gpus());
  EXPECT_EQ(answer.rows.size(), 3U);
  EXPECT_TRUE(answer.answered());
}

TEST(WithCard, KeepsTheProcessor) {
  const auto machine = builtin_machine("rtx3060-12gb+ddr4-3200");
  const auto gpus = known_gpus();
  const auto card = *std::ranges::find(gpus, "rtx4090", &GpuPart::name);
  const auto changed = with_card(machine, card, known_assumptions());
  const auto expected = builtin_machine("rtx4090+ddr4-3200");
  EXPECT_EQ(changed.vram_read_gb_per_s, expected.vram_read_gb_per_s);
  EXPECT_EQ(changed.gpu_int8_tops, expected.gpu_int8_tops);
  EXPECT_EQ(changed.gpu_float_tops, expected.gpu_float_tops);
  EXPECT_EQ(changed.ram_read_gb_per_s, expected.ram_read_gb_per_s);
  EXPECT_EQ(changed.cpu_int8_tops, expected.cpu_int8_tops);
  EXPECT_EQ(changed.pcie_gb_per_s, expected.pcie_gb_per_s);
  EXPECT_EQ(changed.driver_bytes, expected.driver_bytes);
}

}  // namespace
}  // namespace tandem::planner
