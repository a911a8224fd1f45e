#include "planner/repacking.h"

#include <algorithm>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "planner/cost.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "tests/planner/subjects.h"
#include "tests/support/tiny_model.h"

namespace tandem::planner {
namespace {

constexpr std::string_view kTied = "gemma4-12b-qat-q4_0";

Workload workload_with(CpuWeights weights, std::uint32_t stream_rows) {
  Workload workload;
  workload.cpu_weights = weights;
  workload.stream_rows = stream_rows;
  return workload;
}

/// Bytes of the matrices of one layer's half in the tensor directory.
std::uint64_t matrix_bytes(const model::Header& header, std::uint32_t layer, const std::string& stem) {
  std::uint64_t bytes = 0;
  for (const auto& tensor : header.tensors) {
    const bool is_one = tensor.name.starts_with("blk." + std::to_string(layer) + "." + stem);
    if (is_one && tensor.n_dims == 2) bytes += tensor.size_bytes;
  }
  return bytes;
}

TEST(Repacking, EveryMatrixOfThePublishedModelCanBeRepacked) {
  const auto subject = planner_test::catalogue_subject(std::string(kTied));
  for (std::uint32_t i = 0; i < subject.input.layers.size(); ++i) {
    const auto& layer = subject.input.layers[i];
    EXPECT_EQ(layer.attention.matrix_bytes, matrix_bytes(subject.header, i, "attn_"));
    EXPECT_EQ(layer.ffn.matrix_bytes, matrix_bytes(subject.header, i, "ffn_"));
    EXPECT_EQ(layer.attention.repackable_bytes, layer.attention.matrix_bytes);
    EXPECT_EQ(layer.ffn.repackable_bytes, layer.ffn.matrix_bytes);
  }
  EXPECT_EQ(subject.input.head.repackable_bytes, 262'144U * 3840 / 256 * 210);
}

TEST(Repacking, AFloatHeadCanBeRepackedToo) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  ASSERT_EQ(subject.input.head_type, "F16");
  EXPECT_EQ(subject.input.head.repackable_bytes, subject.header.find_tensor("token_embd.weight")->size_bytes);
}

TEST(Repacking, PlansSayHowEveryMatrixOfTheCpuLies) {
  const auto subject = planner_test::catalogue_subject(std::string(kTied));
  const auto layers = subject.input.layers.size();
  auto placement = Placement::all_on(Device::cpu, layers);
  placement.attention[0] = Device::cuda0;
  placement.ffn[1] = Device::cuda0;
  std::uint64_t attention_bytes = 262'144ULL * 3840 / 256 * 210;  // and the head
  std::uint64_t ffn_bytes = 0;
  for (std::uint32_t i = 0; i < layers; ++i) {
    if (i != 0) attention_bytes += matrix_bytes(subject.header, i, "attn_");
    if (i != 1) ffn_bytes += matrix_bytes(subject.header, i, "ffn_");
  }
  const auto matrices = [&](CpuWeights weights, std::uint32_t stream_rows) {
    const auto workload = workload_with(weights, stream_rows);
    const auto plan = plan_for_placement(subject.input, {}, workload, builtin_machine("default"), placement);
    return cpu_matrices(plan, as_loaded(subject.input, plan.workload));
  };
  EXPECT_EQ(matrices(CpuWeights::repacked, 0), (CpuMatrices{attention_bytes + ffn_bytes, 0, 0, 0}));
  EXPECT_EQ(matrices(CpuWeights::repacked, 64), (CpuMatrices{attention_bytes, ffn_bytes, 0, 0}));
  EXPECT_EQ(matrices(CpuWeights::mapped, 64), (CpuMatrices{0, 0, attention_bytes + ffn_bytes, 0}));
}

TEST(Repacking, OddShapesStayAsTheyAre) {
  auto tiny = test_support::TinyModel::gemma3();  // rows of 32
  tiny.reshape_tensor("blk.0.ffn_gate.weight", {32, 64}, 8);
  const auto text = tiny.header_bytes();
  const auto header = model::parse_header("tiny", std::as_bytes(std::span(text)), nullptr);
  const auto input = model_input(header, model::read_hyperparameters(header));
  const auto plan = plan_for_placement(input, {}, workload_with(CpuWeights::repacked, 0),
                                       builtin_machine("default"), Placement::all_on(Device::cpu, 6));
  std::uint64_t bytes = 0;
  for (const auto& tensor : header.tensors) bytes += tensor.n_dims == 2 ? tensor.size_bytes : 0;
  EXPECT_EQ(cpu_matrices(plan, input), (CpuMatrices{0, 0, 0, bytes}));
}

TEST(Repacking, OnlyMatricesThatAreNotRepackedAreSlower) {
  const auto subject = planner_test::catalogue_subject(std::string(kTied));
  auto machine = builtin_machine("default");
  machine.cpu_int8_tops = 1e4;  // what is read is what takes time
  machine.cpu_mapped_slowdown = 1.5;
  const UnitRef attention{UnitKind::attention, 3}, ffn{UnitKind::ffn, 3}, head{UnitKind::head, 0};
  const auto time = [&](CpuWeights weights, std::uint32_t stream_rows, UnitRef unit, Device device) {
    const auto model = as_loaded(subject.input, workload_with(weights, stream_rows));
    return static_cast<double>(unit_ps(model, KvType::f16, machine, device, unit, {1, 1, 1}));
  };
  for (const auto unit : {attention, ffn, head}) {
    const auto bytes = static_cast<double>(weights_of(subject.input, unit).matrix_bytes);
    const auto more_ps = 0.5 * bytes / machine.ram_read_gb_per_s * 1e3;
    const auto repacked_ps = time(CpuWeights::repacked, 0, unit, Device::cpu);
    EXPECT_NEAR(time(CpuWeights::mapped, 0, unit, Device::cpu), repacked_ps + more_ps, 2);
    const bool streamed = unit.kind == UnitKind::ffn;
    EXPECT_NEAR(time(CpuWeights::repacked, 8, unit, Device::cpu), repacked_ps + (streamed ? more_ps : 0), 2);
    EXPECT_EQ(time(CpuWeights::mapped, 0, unit, Device::cuda0),
              time(CpuWeights::repacked, 0, unit, Device::cuda0));
  }
  machine.cpu_mapped_slowdown = 0;
  EXPECT_EQ(time(CpuWeights::mapped, 0, ffn, Device::cpu), time(CpuWeights::repacked, 0, ffn, Device::cpu));
}

/// Lines of the reasons of a plan for 4 GiB of VRAM that speak of the CPU's weights.
std::string lines_about_weights(const Workload& workload) {
  const auto subject = planner_test::catalogue_subject(std::string(kTied));
  const auto plan =
      make_plan(subject.input, {.vram_bytes = 4ULL << 30}, workload, builtin_machine("default"), Devices{});
  std::string lines;
  for (const auto& reason : plan.reasons) {
    if (reason.find("of the CPU's weights") != std::string::npos) lines += reason + "\n";
  }
  return lines;
}

TEST(Repacking, AReasonSaysWhatIsRepackedAndWhatIsNot) {
  const auto count = [](const std::string& text) { return std::ranges::count(text, '\n'); };
  const auto all = lines_about_weights(workload_with(CpuWeights::repacked, 0));
  EXPECT_EQ(count(all), 1) << all;
  EXPECT_NE(all.find("are repacked when they are loaded"), std::string::npos) << all;
  const auto streamed = lines_about_weights(workload_with(CpuWeights::repacked, 64));
  EXPECT_NE(streamed.find("FFN halves that are streamed"), std::string::npos) << streamed;
  const auto mapped = lines_about_weights(workload_with(CpuWeights::mapped, 64));
  EXPECT_EQ(count(mapped), 1) << mapped;
  EXPECT_NE(mapped.find("as was asked for"), std::string::npos) << mapped;
}

}  // namespace
}  // namespace tandem::planner
