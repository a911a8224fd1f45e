#include "planner/sharing.h"

#include <gtest/gtest.h>

#include "planner/footprint.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

/// Both devices alike, and nothing costs but reading and multiplying.
MachineProfile even_machine() {
  MachineProfile machine;
  machine.ram_read_gb_per_s = 50;
  machine.vram_read_gb_per_s = 50;
  machine.cpu_int8_tops = 10;
  machine.cpu_float_tops = 10;
  machine.gpu_int8_tops = 10;
  machine.gpu_float_tops = 10;
  machine.pcie_gb_per_s = 1e4;
  return machine;
}

class Sharing : public testing::Test {
 protected:
  [[nodiscard]] Placement on_gpu() const {
    return Placement::all_on(Device::cuda0, subject_.hyper.layers.size());
  }
  [[nodiscard]] Picoseconds step_ps(const Placement& placement, StepShape step) const {
    return step_time(subject_.input, workload_.kv_type, machine_, placement, step).serial_ps();
  }

  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Workload workload_{.sequences = 1, .expected_context = 2048};
  Budget budget_;
  MachineProfile machine_ = even_machine();
};

TEST_F(Sharing, DevicesThatAreAlikeTakeHalfOfTheRowsEach) {
  budget_.vram_bytes = 14ULL << 30;
  const auto shared = shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0);
  ASSERT_TRUE(shared);
  EXPECT_EQ(shared->gpu_rows, 21504U / 2);
  Picoseconds ffn_ps = 0;
  for (std::uint32_t i = 0; i < 62; ++i) {
    ffn_ps += unit_ps(subject_.input, workload_.kv_type, machine_, Device::cuda0, {UnitKind::ffn, i},
                      decode_step(workload_));
  }
  const auto crossings = 124 * crossing_ps(subject_.input, machine_, decode_step(workload_));
  const auto expected = step_ps(on_gpu(), decode_step(workload_)) - ffn_ps / 2 + crossings;
  EXPECT_NEAR(static_cast<double>(shared->time_ps), static_cast<double>(expected), 62);
}

TEST_F(Sharing, TakesNoMoreRowsThanFit) {
  const auto everything = footprint(subject_.input, budget_, workload_, machine_, on_gpu());
  std::uint64_t ffn_bytes = 0;
  for (const auto& layer : subject_.input.layers) ffn_bytes += layer.ffn.copied_bytes;
  machine_.vram_read_gb_per_s = 1000;  // the GPU wants all it can have
  for (const std::uint32_t steps : {1U, 10U, 50U}) {
    const auto on_cpu_bytes = ffn_bytes / 84 * (84 - steps);  // 84 times 256 rows
    budget_.vram_bytes = everything.vram_bytes - on_cpu_bytes + 1000;
    const auto shared = shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0);
    ASSERT_TRUE(shared);
    EXPECT_EQ(shared->gpu_rows, steps * kSharedRows);
  }
  budget_.vram_bytes = everything.vram_bytes;
  EXPECT_FALSE(shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0));
  budget_.vram_bytes = everything.vram_bytes - ffn_bytes;
  EXPECT_FALSE(shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0));
}

TEST_F(Sharing, RowsOfTheCpuMustFitRam) {
  budget_.vram_bytes = 8ULL << 30;
  budget_.ram_bytes = 12ULL << 30;  // of 12.1 GB of FFN weights, 9.9 GB do not fit 8 GiB beside all else
  EXPECT_TRUE(shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0));
  budget_.ram_bytes = 9ULL << 30;
  EXPECT_FALSE(shared_ffn(subject_.input, budget_, workload_, machine_, Device::cuda0));
}

}  // namespace
}  // namespace tandem::planner
