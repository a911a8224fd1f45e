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

}  // namespace
}  // namespace tandem::calibration
