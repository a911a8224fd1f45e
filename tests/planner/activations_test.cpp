#include "planner/activations.h"

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/placement.h"

namespace tandem::planner {
namespace {

/// Two layers, the second wider in everything but its FFN.
model::Hyperparameters two_layers() {
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
  model::Hyperparameters hyper;
  hyper.width = 96;
  hyper.vocab = 100;
  hyper.layers = {narrow, wide};
  return hyper;
}

TEST(Activations, FollowTheLargestLayer) {
  const auto layout = activation_layout(two_layers(), all_units(2), 16);
  EXPECT_EQ(layout.residual_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.normed_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.projected_bytes, 16U * 96 * 4);
  EXPECT_EQ(layout.q_bytes, 16U * 256 * 4);
  EXPECT_EQ(layout.k_bytes, 16U * 128 * 4);
  EXPECT_EQ(layout.v_bytes, 16U * 128 * 4);
  EXPECT_EQ(layout.attended_bytes, 16U * 256 * 4);
  EXPECT_EQ(layout.gate_bytes, 16U * 320 * 4);
  EXPECT_EQ(layout.up_bytes, 16U * 320 * 4);
  EXPECT_EQ(layout.quantised_bytes, 16U * 10 * 40);
  EXPECT_EQ(layout.total_bytes(), 16U * 4 * (3 * 96 + 2 * 256 + 2 * 128 + 2 * 320) + 16U * 10 * 40);
}

TEST(Activations, HaveOnlyTheBuffersTheUnitsUse) {
  const auto hyper = two_layers();
  const std::vector<UnitRef> ffn{{UnitKind::ffn, 1}};
  const auto of_ffn = activation_layout(hyper, ffn, 8);
  EXPECT_EQ(of_ffn.q_bytes + of_ffn.k_bytes + of_ffn.v_bytes + of_ffn.attended_bytes, 0U);
  EXPECT_EQ(of_ffn.gate_bytes, 8U * 160 * 4);
  const std::vector<UnitRef> head{{UnitKind::head, 0}};
  const auto of_head = activation_layout(hyper, head, 8);
  EXPECT_EQ(of_head.gate_bytes + of_head.q_bytes, 0U);
  EXPECT_EQ(of_head.normed_bytes, 8U * 96 * 4);
  EXPECT_EQ(of_head.quantised_bytes, 8U * 3 * 40);
  EXPECT_EQ(activation_layout(hyper, std::span<const UnitRef>{}, 8), ActivationLayout{});
}

TEST(Activations, StartEveryBufferAtAMultipleOf64) {
  auto hyper = two_layers();
  hyper.width = 33;
  const auto layout = activation_layout(hyper, all_units(2), 1);
  EXPECT_EQ(layout.residual_bytes, 192U);
  EXPECT_EQ(layout.quantised_bytes % kBufferAlignmentBytes, 0U);
}

TEST(Activations, CountKvRowsByLayoutAndType) {
  const auto hyper = two_layers();
  const auto& layer = hyper.layers[1];
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

TEST(Activations, KeepLogitsForEverySequenceAndAtLeastEight) {
  Workload workload;
  EXPECT_EQ(logit_rows(workload), 8U);
  workload.sequences = 20;
  EXPECT_EQ(logit_rows(workload), 20U);
  workload.draft_rows = 4;
  EXPECT_EQ(logit_rows(workload), 100U);
  workload = Workload{};
  workload.sequences = 1;
  workload.micro_batch = 3;
  EXPECT_EQ(logit_rows(workload), 3U);
}

TEST(Activations, RefuseSizesBeyond64Bits) {
  RowWidths widths;
  widths.residual_elems = ~std::uint64_t{0} / 100;
  EXPECT_THROW(activation_layout(widths, 65536), BadQuestion);
}

}  // namespace
}  // namespace tandem::planner
