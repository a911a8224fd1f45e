#include "planner/streaming.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/footprint.h"
#include "planner/make_plan.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

/// Both devices read alike, the GPU multiplies ten times as fast, and nothing else costs.
MachineProfile simple_machine() {
  MachineProfile machine;
  machine.ram_read_gb_per_s = 50;
  machine.vram_read_gb_per_s = 50;
  machine.cpu_int8_tops = 10;
  machine.cpu_float_tops = 10;
  machine.gpu_int8_tops = 100;
  machine.gpu_float_tops = 100;
  machine.pcie_gb_per_s = 1e4;
  return machine;
}

class Streaming : public testing::Test {
 protected:
  [[nodiscard]] Placement on_gpu() const {
    return Placement::all_on(Device::cuda0, subject_.hyper.layers.size());
  }
  [[nodiscard]] std::uint32_t paying() const {
    return paying_stream_rows(subject_.input, workload_, machine_, Device::cuda0);
  }
  [[nodiscard]] double tok_per_s(const Placement& placement) const {
    return predict(subject_.input, workload_, machine_, placement).prefill_tok_per_s;
  }

  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Workload workload_{.sequences = 1, .expected_context = 2048, .stream_rows = 32};
  MachineProfile machine_ = simple_machine();
};

TEST_F(Streaming, TakesTheLongerOfTransferAndWork) {
  auto placement = on_gpu();
  placement.move({UnitKind::ffn, 3}, Device::cpu);
  placement.move({UnitKind::ffn, 9}, Device::cpu);
  EXPECT_NEAR(tok_per_s(placement), tok_per_s(on_gpu()), 1e-6);
  machine_.pcie_gb_per_s = 0.5;
  double waiting_ps = 0;
  for (const std::uint32_t layer : {3U, 9U}) {
    const auto transfer_ps =
        static_cast<double>(subject_.input.layers[layer].ffn.copied_bytes) / 0.5e9 * 1e12;
    waiting_ps +=
        transfer_ps - static_cast<double>(unit_ps(subject_.input, workload_.kv_type, machine_, Device::cuda0,
                                                  {UnitKind::ffn, layer}, prefill_step(workload_)));
  }
  const auto resident_ps = 512e12 / tok_per_s(on_gpu());
  EXPECT_NEAR(512e12 / tok_per_s(placement), resident_ps + waiting_ps, 1e-6 * waiting_ps);
}

TEST_F(Streaming, IsPredictedForChunksOfEnoughRowsOnly) {
  auto placement = on_gpu();
  placement.move({UnitKind::ffn, 3}, Device::cpu);
  const auto streamed = tok_per_s(placement);
  workload_.stream_rows = 0;
  const auto in_place = tok_per_s(placement);
  EXPECT_LT(in_place, streamed);
  workload_.stream_rows = 100;
  workload_.expected_context = 99;  // a prompt of 99 tokens is one chunk
  const auto few = tok_per_s(placement);
  workload_.stream_rows = 0;
  EXPECT_EQ(few, tok_per_s(placement));
}

TEST_F(Streaming, PaysFromWhereTheCpuIsNoFaster) {
  // 347 million weights in 195 MB: 2 GB/s take 98 ms, the CPU's 10 tops as long for 1405 rows; and what they
  // take longer for more rows has to pay for their crossings too.
  workload_.micro_batch = 8192;
  workload_.max_seq_len = 8192;
  machine_.pcie_gb_per_s = 2;
  const auto rows = paying();
  const UnitRef ffn{UnitKind::ffn, 0};
  const auto cpu_ps = [&](std::uint64_t n) {
    return unit_ps(subject_.input, workload_.kv_type, machine_, Device::cpu, ffn, {n, n, 1});
  };
  const auto streamed_ps = [&](std::uint64_t n) {
    const auto transfer = static_cast<double>(subject_.input.layers[0].ffn.copied_bytes) / 2e9 * 1e12;
    return static_cast<Picoseconds>(transfer) + 2 * crossing_ps(subject_.input, machine_, {n, n, 1});
  };
  ASSERT_GT(rows, 1405U);
  EXPECT_GE(cpu_ps(rows), streamed_ps(rows));
  EXPECT_LT(cpu_ps(rows - 1), streamed_ps(rows - 1));
}

TEST_F(Streaming, PaysFromTheProfilesCrossoverOnIfAChunkHasThatManyRows) {
  machine_.stream_rows = 479.5;
  EXPECT_EQ(paying(), 480U);
  workload_.sequences = 4;  // 509 rows are left, which is 480 in 32s
  EXPECT_EQ(paying(), 480U);
  machine_.stream_rows = 481;
  EXPECT_EQ(paying(), 0U);
  machine_.stream_rows = 100;
  workload_.max_seq_len = 99;
  EXPECT_EQ(paying(), 0U);
}

TEST_F(Streaming, NeverPaysOnAGpuThatIsNoFaster) {
  machine_.gpu_int8_tops = machine_.cpu_int8_tops / 2;
  EXPECT_EQ(paying(), 0U);
}

TEST_F(Streaming, IsOfEveryFfnHalfOnTheCpuAndOfNoAttentionHalf) {
  auto placement = Placement::all_on(Device::cpu, subject_.hyper.layers.size());
  EXPECT_TRUE(streamed_units(workload_, placement).empty()) << "there is no GPU";
  placement.move({UnitKind::ffn, 1}, Device::emulated0);
  const auto computed = computed_at(workload_, placement);
  EXPECT_EQ(streamed_units(workload_, placement).size(), 61U);
  EXPECT_EQ(computed.attention, placement.attention);
  EXPECT_EQ(computed.ffn, std::vector<Device>(62, Device::emulated0));
  workload_.stream_rows = 513;
  EXPECT_TRUE(streamed_units(workload_, placement).empty()) << "no chunk has that many rows";
}

TEST_F(Streaming, BuffersAreWhatThePlanCountsThemAs) {
  // Gate, up and down are alike: 5376 x 21504 weights of 18 bytes for 32.
  constexpr std::uint64_t kMatrixBytes = std::uint64_t{5376} * 21504 / 32 * 18;
  EXPECT_EQ(stream_buffer_bytes(subject_.input), kMatrixBytes + 5376 * 4);
  auto placement = on_gpu();
  const auto without = footprint(subject_.input, {}, workload_, machine_, placement);
  placement.move({UnitKind::ffn, 61}, Device::cpu);
  const auto with = footprint(subject_.input, {}, workload_, machine_, placement);
  const auto records = recorded_steps(workload_) * 5 * 1024;  // of the half's operations in decode steps
  EXPECT_EQ(with.vram_bytes + subject_.input.layers[61].ffn.copied_bytes + records,
            without.vram_bytes + 2 * (kMatrixBytes + 5376 * 4));
}

TEST_F(Streaming, IsPlannedWhereItPaysUnlessAskedOtherwise) {
  const auto input = subject_.input;
  const auto machine = builtin_machine("default");
  Budget small;
  small.vram_bytes = 6ULL << 30;
  Workload asked;
  const auto plan = make_plan(input, small, asked, machine, {});
  EXPECT_EQ(plan.requested.stream_rows, std::nullopt);
  ASSERT_GT(plan.workload.stream_rows.value(), 8U);
  const auto mentions = [](const Plan& made) {
    return std::ranges::any_of(made.reasons, [](const std::string& reason) {
      return reason.find("are streamed to cuda0") != std::string::npos;
    });
  };
  EXPECT_TRUE(mentions(plan));
  asked.stream_rows = 0;
  const auto in_place = make_plan(input, small, asked, machine, {});
  EXPECT_FALSE(mentions(in_place));
  EXPECT_GT(plan.predicted.prefill_tok_per_s, 1.2 * in_place.predicted.prefill_tok_per_s);
  EXPECT_LE(plan.predicted.decode_tok_per_s, in_place.predicted.decode_tok_per_s);
  asked.stream_rows = 513;
  EXPECT_THROW(make_plan(input, small, asked, machine, {}), BadQuestion);
  EXPECT_EQ(make_plan(input, {}, {}, machine, {std::nullopt}).workload.stream_rows, 0U) << "no GPU";
}

}  // namespace
}  // namespace tandem::planner
