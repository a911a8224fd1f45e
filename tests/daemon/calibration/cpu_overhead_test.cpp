#include "daemon/calibration/cpu_overhead.h"

#include <gtest/gtest.h>

namespace tandem::calibration {
namespace {

/// A profile of which the arithmetic of Q4_0 takes as good as no time, or forever.
planner::MachineProfile rates_of(double gb_per_s) {
  planner::MachineProfile rates;
  rates.ram_read_gb_per_s = gb_per_s;
  rates.cpu_float_tops = gb_per_s;
  rates.cpu_types = {{model::TensorType::q4_0, {gb_per_s, gb_per_s, gb_per_s, gb_per_s}, gb_per_s}};
  return rates;
}

StepOverhead overhead_of(const planner::MachineProfile& rates) {
  cpu::Team team(2);
  Pace pace({600, 1, 3, 0.002}, [](const std::string&, double) {});
  return step_overhead(pace, team, cpu::best_kernel_set(), rates);
}

TEST(CpuOverhead, IsWhatRatesDoNotExplain) {
  const auto unexplained = overhead_of(rates_of(1e9));
  EXPECT_GT(unexplained.unit_us + unexplained.stage_us, 0);
  const auto explained = overhead_of(rates_of(1e-9));
  EXPECT_GT(explained.unit_us, 0) << "what a unit costs that has nothing to do";
  EXPECT_EQ(explained.unit_few_rows_us, 0);
  EXPECT_EQ(explained.unit_many_rows_us, 0);
}

/// A stage of 5 us and units of 1.5: a step of one layer takes 8, one of twelve 41.
TEST(IdleStep, IsTheStageAndAUnit) {
  const auto idle = idle_step_of({8}, {41}, 12);
  EXPECT_DOUBLE_EQ(idle.stage_us, 5);
  EXPECT_DOUBLE_EQ(idle.unit_us, 41.0 / 24);
}

TEST(IdleStep, SamplesThatTheHostHeldUpDoNotCount) {
  for (const auto& one_us : {std::vector{8.0, 4000.0, 9000.0}, {4000, 8, 8.5}, {12, 2e6, 8}}) {
    for (const auto& all_us : {std::vector{41.0, 41.0, 41.0}, {8000, 41, 7000}, {1e6, 1e6, 41}}) {
      const auto idle = idle_step_of(one_us, all_us, 12);
      EXPECT_DOUBLE_EQ(idle.stage_us, 5);
      EXPECT_DOUBLE_EQ(idle.unit_us, 41.0 / 24);
    }
  }
}

/// Nothing is left of either then but what the other one says.
TEST(IdleStep, WhereAllSamplesOfOneWereHeldUpTheOtherLimitsIt) {
  const auto one = idle_step_of({4000, 9000, 5000}, {41, 42, 43}, 12);
  EXPECT_LE(one.stage_us, 41);
  EXPECT_DOUBLE_EQ(one.unit_us, 41.0 / 24);
  const auto all = idle_step_of({8, 9}, {9000, 5000}, 12);
  EXPECT_DOUBLE_EQ(all.stage_us, 0);
  EXPECT_LE(all.unit_us, 4);
}

TEST(IdleStep, NeverCostsLessThanNothing) {
  const auto idle = idle_step_of({1}, {40}, 12);
  EXPECT_EQ(idle.stage_us, 0);
  EXPECT_GT(idle.unit_us, 0);
}

}  // namespace
}  // namespace tandem::calibration
