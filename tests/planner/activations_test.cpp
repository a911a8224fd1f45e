#include "planner/activations.h"

#include <vector>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/placement.h"

namespace tandem::planner {
namespace {

/// Two layers, the second wider in everything but its FFN, and without V.  Only the first one's FFN and the
/// head multiply floats.
ModelInput two_layers() {
  model::LayerSpec narrow;
  narrow.heads = 2;
  narrow.kv_heads = 1;
  narrow.head_dim = 32;
  narrow.ffn_width = 320;
  auto wide = narrow;
  wide.heads = 4;
  wide.kv_heads = 2;
  wide.head_dim = 64;
  wide.ffn_width = 160;
  wide.has_v = false;
  ModelInput model;
  model.hyper.width = 96;
  model.hyper.vocab = 100;
  model.hyper.layers = {narrow, wide};
  model.layers.resize(2);
  model.layers[0].attention.quantised_elems = 96;
  model.layers[1].attention.quantised_elems = 256;
  model.layers[1].ffn.quantised_elems = 160;
  return model;
}

constexpr RowCounts kRows{16, 16, 8};

TEST(Activations, FollowTheLargestLayer) {
  const auto layout = activation_layout(two_layers(), all_units(2), Device::cpu, kRows);
  EXPECT_EQ(layout.residual_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.normed_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.projected_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.q_bytes, 16U * 256 * 4);
  EXPECT_EQ(layout.k_bytes, 16U * 128 * 4);
  EXPECT_EQ(layout.v_bytes, 16U * 128 * 4);
  EXPECT_EQ(layout.attended_bytes, 16U * 256 * 4);
  EXPECT_EQ(layout.gate_bytes, 16U * 320 * 4);
  EXPECT_EQ(layout.up_bytes, 16U * 320 * 4);
  EXPECT_EQ(layout.quantised_bytes, 16U * 8 * 40);
  EXPECT_EQ(layout.total_bytes(), 16U * 4 * (3 * 96 + 2 * 256 + 2 * 128 + 2 * 320) + 16U * 8 * 40);
}

TEST(Activations, OnAGpuKeepVOnlyWhereItIsProjected) {
  const auto layout = activation_layout(two_layers(), all_units(2), Device::cuda0, kRows);
  EXPECT_EQ(layout.k_bytes, 16U * 128 * 4);
  EXPECT_EQ(layout.v_bytes, 16U * 32 * 4);
}

TEST(Activations, KeepIntegersOnlyForMatricesThatMultiplyThem) {
  auto model = two_layers();
  const std::vector<UnitRef> ffn{{UnitKind::ffn, 0}};
  EXPECT_EQ(activation_layout(model, ffn, Device::cpu, kRows).quantised_bytes, 0U);
  const std::vector<UnitRef> both{{UnitKind::ffn, 0}, {UnitKind::head, 0}};
  model.head.quantised_elems = 96;
  EXPECT_EQ(activation_layout(model, both, Device::cpu, kRows).quantised_bytes, 8U * 3 * 40);
}

TEST(Activations, HaveOnlyTheBuffersTheUnitsUse) {
  auto model = two_layers();
  const std::vector<UnitRef> ffn{{UnitKind::ffn, 1}};
  const auto of_ffn = activation_layout(model, ffn, Device::cpu, {8, 8, 8});
  EXPECT_EQ(of_ffn.q_bytes + of_ffn.k_bytes + of_ffn.v_bytes + of_ffn.attended_bytes, 0U);
  EXPECT_EQ(of_ffn.gate_bytes, 8U * 160 * 4);
  const std::vector<UnitRef> head{{UnitKind::head, 0}};
  model.head.quantised_elems = 96;
  const auto of_head = activation_layout(model, head, Device::cpu, kRows);
  EXPECT_EQ(of_head.gate_bytes + of_head.q_bytes + of_head.projected_bytes, 0U);
  EXPECT_EQ(of_head.residual_bytes, 16U * 96 * 4);
  EXPECT_EQ(of_head.normed_bytes, 8U * 96 * 4);
  EXPECT_EQ(of_head.quantised_bytes, 8U * 3 * 40);
  EXPECT_EQ(activation_layout(model, std::span<const UnitRef>{}, Device::cpu, kRows), ActivationLayout{});
}

TEST(Activations, HaveFewerRowsWhereOnlyFfnHalvesUseThem) {
  auto model = two_layers();
  model.layers[0].ffn.quantised_elems = 320;
  constexpr RowCounts kFewToFfn{16, 4, 8};
  const std::vector<UnitRef> ffn{{UnitKind::ffn, 0}};
  const auto of_ffn = activation_layout(model, ffn, Device::cpu, kFewToFfn);
  EXPECT_EQ(of_ffn.total_bytes(), 4U * 4 * (3 * 96 + 2 * 320) + 4 * 10 * 40);
  const auto of_all = activation_layout(model, all_units(2), Device::cpu, kFewToFfn);
  auto expected = activation_layout(model, all_units(2), Device::cpu, kRows);
  expected.gate_bytes = expected.up_bytes = 4U * 320 * 4;
  expected.quantised_bytes = 16U * 8 * 40;  // of attention's rows, though FFN's are longer
  EXPECT_EQ(of_all, expected);
  const std::vector<UnitRef> with_head{{UnitKind::ffn, 0}, {UnitKind::head, 0}};
  const auto of_both = activation_layout(model, with_head, Device::cpu, kFewToFfn);
  EXPECT_EQ(of_both.residual_bytes, 16U * 96 * 4);
  EXPECT_EQ(of_both.normed_bytes, 8U * 96 * 4);
  EXPECT_EQ(of_both.projected_bytes, 4U * 96 * 4);
}

TEST(Activations, StartEveryBufferAtAMultipleOf64) {
  auto model = two_layers();
  model.hyper.width = 33;
  const auto layout = activation_layout(model, all_units(2), Device::cpu, {1, 1, 1});
  EXPECT_EQ(layout.residual_bytes, 192U);
  EXPECT_EQ(layout.quantised_bytes % kBufferAlignmentBytes, 0U);
}

TEST(Activations, CountKvRowsByLayoutAndType) {
  const auto model = two_layers();
  const auto& layer = model.hyper.layers[1];
  EXPECT_EQ(kv_row_bytes(layer, KvLayout::separate, KvType::f32), 2U * 2 * 64 * 4);
  EXPECT_EQ(kv_row_bytes(layer, KvLayout::separate, KvType::f16), 2U * 2 * 64 * 2);
  EXPECT_EQ(kv_row_bytes(layer, KvLayout::separate, KvType::q8_0), 2U * 2 * 64 / 32 * 34);
  EXPECT_EQ(kv_row_bytes(layer, KvLayout::vector, KvType::f16), 2U * 64 * 2);
  model::LayerSpec gemma4_global;
  gemma4_global.kv_heads = 1;
  gemma4_global.head_dim = 512;
  EXPECT_EQ(kv_row_elems(gemma4_global, KvLayout::vector), 512U);
  EXPECT_EQ(kv_row_elems(gemma4_global, KvLayout::vector_rotated), 640U);
}

TEST(Activations, RefuseSizesBeyond64Bits) {
  RowWidths widths;
  widths.attention_elems = ~std::uint64_t{0} / 100;
  EXPECT_THROW(activation_layout(widths, {65536, 65536, 8}), BadQuestion);
}

TEST(StepBuffers, HaveAPieceForEachSortThatTheGpuIsToldOf) {
  EXPECT_EQ(step_buffer_bytes({512, 512, 8, 1000}), 512U * 4 + 64 + 512 * 48 + 4032);
  EXPECT_EQ(step_buffer_bytes({512, 0, 0, 0}), 512U * 48);
  EXPECT_EQ(step_buffer_bytes({0, 0, 0, 0}), 0U);
}

TEST(StepBuffers, LeaveOutWhatTheCpuHas) {
  Plan plan;
  plan.workload.sequences = 2;
  plan.workload.micro_batch = 100;
  plan.kv_pages.pages = 7;
  plan.layers.resize(2);
  plan.layers[0].kind = model::LayerKind::sliding;
  plan.layers[0].attention_device = Device::cuda0;
  plan.layers[1].kind = model::LayerKind::global;
  const auto counts = [&plan] {
    const auto most = most_step_counts(plan);
    return std::vector<std::uint64_t>{most.rows, most.embedded_rows, most.logit_rows, most.pages};
  };
  EXPECT_EQ(counts(), (std::vector<std::uint64_t>{100, 0, 0, 0}));
  plan.layers[1].attention_device = Device::cuda0;
  plan.head.device = plan.embedding.device = Device::cuda0;
  EXPECT_EQ(counts(), (std::vector<std::uint64_t>{100, 100, 8, 7}));
}

TEST(LoadBuffer, IsHalfOfTheLargestTensorUpToFourMebibytes) {
  EXPECT_EQ(load_buffer_bytes(0), 1024U);
  EXPECT_EQ(load_buffer_bytes(100'000), 50'048U);
  EXPECT_EQ(load_buffer_bytes(std::uint64_t{1} << 30), std::uint64_t{4} << 20);
}

TEST(Choices, HaveACountTheBestAndTheChangesOfEachRow) {
  EXPECT_EQ(choice_bytes(0, 0), 0U);
  EXPECT_EQ(choice_bytes(3, 3 * kMostEdits), 64U + 3 * 256 * (8 + 24));
  EXPECT_EQ(answer_mask_bytes(262'144), 2U * 32 * 1024);
  EXPECT_EQ(answer_mask_bytes(262'145), 2U * 32 * 1024 + 64);
}

}  // namespace
}  // namespace tandem::planner
