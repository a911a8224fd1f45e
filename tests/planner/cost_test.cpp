#include "planner/cost.h"

#include <gtest/gtest.h>

#include "planner/footprint.h"
#include "planner/make_plan.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

/// Round numbers, so that times can be worked out by hand.
MachineProfile round_machine() {
  MachineProfile machine;
  machine.ram_read_gb_per_s = 10;
  machine.vram_read_gb_per_s = 100;
  machine.cpu_int8_tops = 1;
  machine.cpu_float_tops = 0.5;
  machine.gpu_int8_tops = 20;
  machine.gpu_float_tops = 10;
  machine.pcie_gb_per_s = 10;
  machine.gpu_launch_us = 3;
  machine.cpu_unit_us = 7;
  machine.crossing_us = 11;
  return machine;
}

class Cost : public testing::Test {
 protected:
  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  const MachineProfile machine_ = round_machine();
};

TEST_F(Cost, OneRowOfAnFfnHalfIsBytesOverBandwidth) {
  // Three matrices of 3840 x 15360 in Q4_0 (18 bytes for 32), two norms of 3840 floats, one scalar.
  const double bytes = 3.0 * 3840 * 15360 / 32 * 18 + 2 * 3840 * 4 + 4;
  const UnitRef ffn{UnitKind::ffn, 0};
  EXPECT_NEAR(unit_us(subject_.input, KvType::f16, machine_, Device::cuda0, ffn, {1, 100}),
              bytes / 100e9 * 1e6 + 3, 1e-6);
  EXPECT_NEAR(unit_us(subject_.input, KvType::f16, machine_, Device::cpu, ffn, {1, 100}),
              bytes / 10e9 * 1e6 + 7, 1e-6);
}

TEST_F(Cost, ManyRowsOfAnFfnHalfAreOperationsOverThroughput) {
  const double elems = 3.0 * 3840 * 15360;
  const double vectors = 2 * 3840 + 1;
  const UnitRef ffn{UnitKind::ffn, 0};
  EXPECT_NEAR(unit_us(subject_.input, KvType::f16, machine_, Device::cuda0, ffn, {512, 512}),
              (2 * 512 * elems / 20e12 + 2 * 512 * vectors / 10e12) * 1e6 + 3, 1e-6);
}

TEST_F(Cost, AttentionReadsTheKvItSees) {
  const auto decode_us = [&](std::uint32_t layer, std::uint64_t context) {
    return unit_us(subject_.input, KvType::f16, machine_, Device::cuda0, {UnitKind::attention, layer},
                   {1, context});
  };
  // Sliding layer 0: 8 KiB a token up to the window of 1024.
  EXPECT_NEAR(decode_us(0, 1000) - decode_us(0, 500), 500 * 8192 / 100e9 * 1e6, 1e-6);
  EXPECT_NEAR(decode_us(0, 100'000), decode_us(0, 1024), 1e-9);
  // Global layer 5: one vector of 512 halves, at any distance; 16 heads of 512 on each key.
  EXPECT_NEAR(decode_us(5, 20'000) - decode_us(5, 10'000), 10'000 * 1024 / 100e9 * 1e6, 1e-6);
}

TEST_F(Cost, PromptRowsSeeHalfOfTheirChunkOnAverage) {
  // 1000 rows at 1001 ... 2000 keys in global layer 5: 4 * 16 * 512 operations a row and key.
  const double keys = 1000 * 1500.5;
  const double elems = 3840.0 * (8192 + 512 + 8192);
  const double vectors = 2 * 3840 + 2 * 512;
  const double expected_us =
      (2 * 1000 * elems / 20e12 + (2 * 1000 * vectors + 4 * 16 * 512 * keys) / 10e12) * 1e6 + 3;
  EXPECT_NEAR(
      unit_us(subject_.input, KvType::f16, machine_, Device::cuda0, {UnitKind::attention, 5}, {1000, 2000}),
      expected_us, expected_us * 1e-9);
}

TEST_F(Cost, AStepIsItsUnitsAndItsCrossings) {
  auto placement = Placement::all_on(Device::cuda0, 48);
  placement.move({UnitKind::ffn, 10}, Device::cpu);
  placement.move({UnitKind::attention, 11}, Device::cpu);
  const StepShape step{4, 300};
  double units_us = 0;
  for (const auto unit : all_units(48)) {
    units_us += unit_us(subject_.input, KvType::f16, machine_, placement.device_of(unit), unit, step);
  }
  const double crossing = 11 + 4 * 3840 * 4 / 10e9 * 1e6;
  EXPECT_NEAR(step_us(subject_.input, KvType::f16, machine_, placement, step), units_us + 2 * crossing, 1e-6);
}

TEST_F(Cost, PredictsBetweenTheIdealBoundAndNineTenthsOfIt) {
  Workload workload;
  workload.expected_context = 2048;
  const auto machine = builtin_machine("default");
  const auto predicted = predict(subject_.input, workload, machine, Placement::all_on(Device::cuda0, 48));
  double bytes = static_cast<double>(subject_.input.facts.tensor_bytes);
  for (const auto& layer : subject_.hyper.layers) {
    bytes += static_cast<double>(kv_cells(layer, 2048) * kv_row_bytes(layer, kv_layout(layer), KvType::f16));
  }
  const auto ideal = machine.vram_read_gb_per_s * 1e9 / bytes;
  EXPECT_LT(predicted.decode_tok_per_s, ideal);
  EXPECT_GT(predicted.decode_tok_per_s, 0.9 * ideal);
  EXPECT_GT(predicted.prefill_tok_per_s, 10 * predicted.decode_tok_per_s);
}

}  // namespace
}  // namespace tandem::planner
