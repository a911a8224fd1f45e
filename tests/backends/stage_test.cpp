// What make_stage refuses.

#include "backends/cpu/stage.h"

#include <functional>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/mutant.h"
#include "tests/backends/cpu_model.h"

namespace tandem::cpu {
namespace {

// Planted mistakes exist in test builds only: here the question has a constant answer.
static_assert(!mutant(Mutant::window_plus_one));

using test_support::CpuModel;
using test_support::CpuModelOptions;
using test_support::ModelViews;

/// The message with which a stage of gemma4_8l is refused after `change`; empty if it is not.
std::string refusal(const std::function<void(ModelViews&)>& change, CpuModelOptions options = {}) {
  options.mistake = change;
  try {
    const CpuModel model("gemma4_8l.gguf", options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

device::AttentionHalf& attention(ModelViews& views, std::size_t layer) {
  return views.units[2 * layer].attention;
}

TEST(MakeStage, TakesAGoodModel) {
  EXPECT_EQ(refusal([](ModelViews&) {}), "");
}

TEST(MakeStage, RefusesWhatItCannotRun) {
  using testing::HasSubstr;
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 5).kv.layout = device::KvLayout::vector_rotated; }),
              HasSubstr("layer 5: KV layout vector_rotated"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).kv.layout = device::KvLayout::vector; }),
              HasSubstr("layer 0: KV layout vector needs"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).head_dim = 514; }), HasSubstr("head_dim"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).head_dim = 15; }), HasSubstr("head_dim"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).kv_heads = 3; }), HasSubstr("kv_heads"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).kv.row_bytes += 4; }), HasSubstr("KV row"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).kv.cells = 0; }), HasSubstr("no cells"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 5).kv.page_tok = 0; }), HasSubstr("no cells"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).q.out -= 1; }), HasSubstr("attn_q is 96 x"));
  EXPECT_THAT(refusal([](ModelViews& v) { attention(v, 0).out.data = nullptr; }),
              HasSubstr("attn_output is absent"));
  EXPECT_THAT(refusal([](ModelViews& v) { v.units[1].ffn.up.type = static_cast<device::BlockType>(9); }),
              HasSubstr("block type 9"));
  EXPECT_THAT(refusal([](ModelViews& v) { v.units[1].ffn.gate.type = device::BlockType::q6_k; }),
              HasSubstr("not a multiple of 256"));
  EXPECT_THAT(refusal([](ModelViews& v) { v.head.out.in = 64; }), HasSubstr("the head is 64 x"));
}

TEST(MakeStage, RefusesQ8CachesOfNarrowHeads) {
  CpuModelOptions options;
  options.kv_type = device::KvType::q8_0;  // its sliding layers have heads of 16
  EXPECT_THAT(refusal([](ModelViews&) {}, options), testing::HasSubstr("multiples of 32"));
}

}  // namespace
}  // namespace tandem::cpu
