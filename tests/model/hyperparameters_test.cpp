#include "model/hyperparameters.h"

#include <cmath>
#include <functional>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/model/layer_kinds.h"
#include "tests/support/fixture.h"
#include "tests/support/tiny_model.h"

namespace tandem::model {
namespace {

using test_support::key_array;
using test_support::key_f32;
using test_support::key_string;
using test_support::key_u32;
using test_support::key_value;
using test_support::le;
using test_support::TinyModel;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

Hyperparameters read(const std::string& bytes) {
  const auto storage = std::make_shared<const std::string>(bytes);
  return read_hyperparameters(parse_header("tiny.gguf", std::as_bytes(std::span(*storage)), storage));
}

Hyperparameters read(const TinyModel& model) {
  return read(model.header_bytes());
}

Hyperparameters read_reference(std::string_view name) {
  return read_hyperparameters(read_header(test_support::reference_path(name)));
}

/// "LLG": the kinds of all layers, L sliding, G global.
TEST(Hyperparameters, Gemma3WithoutPatternKeyHasEverySixthLayerGlobal) {
  const auto model = read_reference("gemma3_7l.gguf");
  EXPECT_EQ(model.family, Family::gemma3);
  EXPECT_EQ(layer_kinds(model), "LLLLLGL");
  EXPECT_EQ(model.width, 96U);
  EXPECT_EQ(model.vocab, 384U);
  EXPECT_FLOAT_EQ(model.norm_eps, 1e-6f);
  EXPECT_EQ(model.embedding_scale, std::sqrt(96.0f));
  EXPECT_EQ(model.final_softcap, 0.0f);
  EXPECT_FALSE(model.v_norm);
  const LayerSpec sliding{
      LayerKind::sliding, 4, 2, 32, 8, 128, true, static_cast<float>(1 / std::sqrt(32.0))};
  EXPECT_EQ(model.layers[0], sliding);
  auto global = sliding;
  global.kind = LayerKind::global;
  global.window = 0;
  EXPECT_EQ(model.layers[5], global);
  EXPECT_THAT(model.warnings, IsEmpty());
}

TEST(Hyperparameters, Gemma3OfSixtyTwoLayersScalesByWidthOverHeads) {
  const auto model = read_reference("gemma3_62l.gguf");
  ASSERT_EQ(model.layers.size(), 62U);
  for (const auto& layer : model.layers)
    EXPECT_EQ(layer.attention_scale, 0.25f);  // 1/sqrt(32/2), not 1/sqrt(8)
}

TEST(Hyperparameters, Gemma3ReadsAPatternKey) {
  EXPECT_EQ(layer_kinds(read_reference("gemma3_4l.gguf")), "LGLL");
}

TEST(Hyperparameters, Gemma4DiffersFromLayerToLayer) {
  const auto model = read_reference("gemma4_8l.gguf");
  EXPECT_EQ(model.family, Family::gemma4);
  EXPECT_EQ(layer_kinds(model), "LLLLLGLG");
  EXPECT_EQ(model.final_softcap, 30.0f);
  EXPECT_TRUE(model.v_norm);
  EXPECT_EQ(model.layers[0], (LayerSpec{LayerKind::sliding, 4, 2, 16, 16, 128, true, 1.0f}));
  EXPECT_EQ(model.layers[5], (LayerSpec{LayerKind::global, 4, 1, 32, 0, 128, false, 1.0f}));
  EXPECT_THAT(model.warnings, IsEmpty());
}

TEST(Hyperparameters, LastLayerMaySlide) {
  EXPECT_EQ(layer_kinds(read_reference("gemma4_7l_sliding.gguf")), "LLLLLGL");
}

TEST(Hyperparameters, RealHeadDimensionsAndRotation) {
  const auto gemma4 = read_reference("gemma4_1l_global.gguf");
  ASSERT_EQ(gemma4.rope_global.inv_freq.size(), 256U);
  ASSERT_EQ(gemma4.rope_sliding.inv_freq.size(), 128U);
  for (std::size_t i = 0; i < 256; ++i) {
    const double expected = i < 64 ? std::exp2(-2.0 * static_cast<double>(i) / 512.0 * std::log2(1e6)) : 0.0;
    EXPECT_NEAR(gemma4.rope_global.inv_freq[i], expected, expected * 1e-14) << i;
  }
  const auto gemma3 = read_reference("gemma3_1l_global.gguf");
  for (std::size_t i = 0; i < 128; ++i) {
    const double turn = -2.0 * static_cast<double>(i) / 256.0;
    EXPECT_NEAR(gemma3.rope_sliding.inv_freq[i] / std::exp2(turn * std::log2(1e4)), 1.0, 1e-14) << i;
    EXPECT_NEAR(gemma3.rope_global.inv_freq[i] / (std::exp2(turn * std::log2(1e6)) / 8.0), 1.0, 1e-14) << i;
  }
  EXPECT_EQ(&gemma3.rope(gemma3.layers[0]), &gemma3.rope_global);
}

TEST(Hyperparameters, HeaderOnlyFileTellsTheSame) {
  const auto header = read_header(test_support::reference_path("gemma4_8l.gguf"));
  ASSERT_NE(header.find_tensor("rope_freqs.weight"), nullptr);
  const auto end = header.find_tensor("token_embd.weight")->offset_bytes;
  auto cut = header;
  cut.parts[0].bytes = cut.parts[0].bytes.first(
      std::min<std::uint64_t>(end, header.find_tensor("rope_freqs.weight")->offset_bytes));
  EXPECT_EQ(read_hyperparameters(cut).rope_global, read_hyperparameters(header).rope_global);
}

TEST(Hyperparameters, RopeFreqsOfTheFileAreUsed) {
  auto model = TinyModel::gemma4();
  model.remove_tensor("rope_freqs.weight");
  model.add_tensor("rope_freqs.weight", {16});
  auto bytes = model.file_bytes();
  std::string divisors;
  for (int i = 0; i < 16; ++i) divisors += le(i == 3 ? 1e30f : 2.0f);
  bytes.replace(bytes.size() - divisors.size(), divisors.size(), divisors);
  const auto inv_freq = read(bytes).rope_global.inv_freq;
  EXPECT_EQ(inv_freq[0], 0.5);
  EXPECT_EQ(inv_freq[3], 0.0);
  EXPECT_NEAR(inv_freq[8], std::sqrt(1e-6) / 2, 1e-15);

  for (const float divisor : {-1.0f, 0.0f, 1e-20f, 0.99f, std::nanf("")}) {
    bytes.replace(bytes.size() - 4, 4, le(divisor));
    EXPECT_THROW(read(bytes), BadModel) << divisor;
  }
  bytes.replace(bytes.size() - 4, 4, le(1.0f));
  EXPECT_NO_THROW(read(bytes));
}

TEST(Hyperparameters, MissingRopeFreqsAreSynthesisedWithAWarning) {
  const auto with = read(TinyModel::gemma4());
  auto model = TinyModel::gemma4();
  model.remove_tensor("rope_freqs.weight");
  const auto without = read(model);
  EXPECT_EQ(without.rope_global, with.rope_global);
  EXPECT_THAT(without.warnings, ElementsAre(HasSubstr("rope_freqs.weight is missing")));
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(without.rope_global.inv_freq[i] > 0.0, i < 4) << i;
}

TEST(Hyperparameters, Gemma4UnifiedIsGemma4) {
  auto model = TinyModel::gemma4();
  model.set_key("general.architecture", key_string("general.architecture", "gemma4_unified"));
  EXPECT_EQ(read(model).layers, read(TinyModel::gemma4()).layers);
  EXPECT_EQ(read(model).family, Family::gemma4);
}

TEST(Hyperparameters, LayerScaleAndAnUntiedHeadAreOptional) {
  auto model = TinyModel::gemma4();
  model.remove_tensor("blk.3.layer_output_scale.weight");
  model.add_tensor("output.weight", {32, 40});
  EXPECT_NO_THROW(read(model));
}

TEST(Hyperparameters, VisionAudioAndProjectorTensorsAreIgnored) {
  auto model = TinyModel::gemma4();
  model.add_tensor("v.blk.0.attn_q.weight", {7, 3});
  model.add_tensor("a.conv.weight", {3, 3, 2, 2});
  model.add_tensor("mm.input_projection.weight", {5, 5});
  EXPECT_EQ(read(model).layers, read(TinyModel::gemma4()).layers);
}

TEST(Hyperparameters, PerLayerValuesMayBeScalarsOrArrays) {
  auto model = TinyModel::gemma3();
  std::string heads;
  for (int i = 0; i < 6; ++i) heads += le<std::int64_t>(4);
  model.set_key("gemma3.attention.head_count", key_array("gemma3.attention.head_count", 11, 6, heads));
  EXPECT_EQ(read(model).layers, read(TinyModel::gemma3()).layers);
}

TEST(Hyperparameters, AScalarPatternIsAPeriod) {
  auto model = TinyModel::gemma3();
  const std::string key = "gemma3.attention.sliding_window_pattern";
  model.set_key(key, key_u32(key, 2));
  EXPECT_EQ(layer_kinds(read(model)), "LGLGLG");
  model.set_key(key, key_u32(key, 1));
  EXPECT_EQ(layer_kinds(read(model)), "GGGGGG");
}

TEST(Hyperparameters, OllamasNamesOfTheRopeBasesAreRead) {
  auto model = TinyModel::gemma3();
  model.remove_key("gemma3.rope.freq_base");
  model.set_key("gemma3.rope.global.freq_base", key_f32("gemma3.rope.global.freq_base", 1e5f));
  model.set_key("gemma3.rope.local.freq_base", key_f32("gemma3.rope.local.freq_base", 2e4f));
  const auto read_model = read(model);
  EXPECT_NEAR(read_model.rope_global.inv_freq[4], std::sqrt(1e-5) / 8, 1e-15);
  EXPECT_NEAR(read_model.rope_sliding.inv_freq[4], std::sqrt(1 / 2e4), 1e-15);
}

TEST(Hyperparameters, MissingLinearFactorIsEightWhereGemma3NeedsIt) {
  const auto with = read_reference("gemma3_62l.gguf");
  // The same file with its scaling keys renamed, so that they are not found.
  const auto header = read_header(test_support::reference_path("gemma3_62l.gguf"));
  auto without = header;
  std::erase_if(without.metadata,
                [](const auto& entry) { return entry.first.find("rope.scaling") != entry.first.npos; });
  const auto defaulted = read_hyperparameters(without);
  EXPECT_EQ(defaulted.rope_global, with.rope_global);
  EXPECT_THAT(defaulted.warnings, ElementsAre(HasSubstr("factor 8")));

  auto tiny = TinyModel::gemma3();  // of six layers: a model that needs none
  tiny.remove_key("gemma3.rope.scaling.type");
  tiny.remove_key("gemma3.rope.scaling.factor");
  EXPECT_EQ(read(tiny).rope_global.inv_freq[0], 1.0);
  EXPECT_THAT(read(tiny).warnings, IsEmpty());
}

TEST(Hyperparameters, ScalingOfNoneIsNone) {
  auto model = TinyModel::gemma3();
  model.set_key("gemma3.rope.scaling.type", key_string("gemma3.rope.scaling.type", "none"));
  EXPECT_EQ(read(model).rope_global.inv_freq[0], 1.0);
}

TEST(Hyperparameters, MissingSoftcapOfGemma4IsThirtyWithAWarning) {
  auto model = TinyModel::gemma4();
  model.remove_key("gemma4.final_logit_softcapping");
  EXPECT_EQ(read(model).final_softcap, 30.0f);
  EXPECT_THAT(read(model).warnings, ElementsAre(HasSubstr("final_logit_softcapping is missing")));
}

/// A change to a tiny model and what the message must say.
struct Case {
  std::string name;
  std::function<TinyModel()> model;
  std::string message;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

Case changed(std::string name, TinyModel (*make)(), std::function<void(TinyModel&)> change,
             std::string message) {
  return {std::move(name),
          [make, change = std::move(change)] {
            auto model = make();
            change(model);
            return model;
          },
          std::move(message)};
}

Case with_u32(std::string name, TinyModel (*make)(), const std::string& key, std::uint32_t value,
              std::string message) {
  return changed(
      std::move(name), make, [=](TinyModel& m) { m.set_key(key, key_u32(key, value)); }, std::move(message));
}

Case without_key(std::string name, TinyModel (*make)(), const std::string& key) {
  return changed(
      std::move(name), make, [=](TinyModel& m) { m.remove_key(key); }, key + ": missing");
}

std::string case_name(const testing::TestParamInfo<Case>& test) {
  return test.param.name;
}

class UnsupportedCase : public testing::TestWithParam<Case> {};

TEST_P(UnsupportedCase, IsRefusedInPlainWords) {
  try {
    read(GetParam().model());
    FAIL() << "accepted";
  } catch (const UnsupportedModel& error) {
    EXPECT_THAT(error.what() + (" | " + error.hint()), HasSubstr(GetParam().message));
    EXPECT_THAT(error.what(), HasSubstr("tiny.gguf"));
  }
}

Case architecture(const std::string& name, std::string message) {
  std::string test_name;
  for (const char c : name) test_name += c == '-' ? 'X' : c;
  return changed(
      "Arch" + test_name, TinyModel::gemma4,
      [=](TinyModel& m) { m.set_key("general.architecture", key_string("general.architecture", name)); },
      std::move(message));
}

Case extra_tensor(std::string name, const std::string& tensor, std::string message) {
  return changed(
      std::move(name), TinyModel::gemma4, [=](TinyModel& m) { m.add_tensor(tensor, {32}); },
      std::move(message));
}

INSTANTIATE_TEST_SUITE_P(
    Refusals, UnsupportedCase,
    testing::Values(
        architecture("gemma", "architecture gemma is not supported"),
        architecture("gemma2", "architecture gemma2 is not supported"),
        architecture("gemma3n", "architecture gemma3n is not supported"),
        architecture("gemma-embedding", "only gemma3 and gemma4 are"),
        architecture("llama", "architecture llama is not supported"),
        architecture("clip", "vision projector"), architecture("gemma4-assistant", "drafter"),
        architecture("gemma4_assistant", "drafter"), architecture("gemma4_mtp", "drafter"),
        architecture("dflash", "drafter"),
        with_u32("Experts", TinyModel::gemma4, "gemma4.expert_count", 128, "mixture of experts"),
        extra_tensor("ExpertTensor", "blk.0.ffn_gate_inp.weight", "mixture of experts"),
        with_u32("PerLayerEmbeddings", TinyModel::gemma4, "gemma4.embedding_length_per_layer_input", 256,
                 "per-layer embeddings"),
        with_u32("SharedKv", TinyModel::gemma4, "gemma4.attention.shared_kv_layers", 2,
                 "layers that share KV"),
        with_u32("BuiltInDrafter", TinyModel::gemma4, "gemma4.nextn_predict_layers", 4, "built-in drafter"),
        changed(
            "AssistantType", TinyModel::gemma4,
            [](TinyModel& m) {
              m.set_key("gemma4.assistant.type", key_string("gemma4.assistant.type", "mtp"));
            },
            "the file is a drafter"),
        changed(
            "ScoreSoftcap", TinyModel::gemma3,
            [](TinyModel& m) {
              m.set_key("gemma3.attn_logit_softcapping", key_f32("gemma3.attn_logit_softcapping", 50));
            },
            "softcapped attention scores"),
        changed(
            "Yarn", TinyModel::gemma3,
            [](TinyModel& m) {
              m.set_key("gemma3.rope.scaling.type", key_string("gemma3.rope.scaling.type", "yarn"));
            },
            "rope scaling yarn"),
        changed(
            "LinearGemma4", TinyModel::gemma4,
            [](TinyModel& m) {
              m.set_key("gemma4.rope.scaling.factor", key_f32("gemma4.rope.scaling.factor", 8));
            },
            "rope scaling linear"),
        extra_tensor("Bias", "blk.0.attn_q.bias", "tensor blk.0.attn_q.bias is not part of"),
        extra_tensor("LayerBeyondCount", "blk.6.attn_norm.weight", "blk.6.attn_norm.weight is not part of"),
        changed(
            "HalfPrecisionNorm", TinyModel::gemma4,
            [](TinyModel& m) { m.reshape_tensor("blk.2.attn_norm.weight", {32}, 1); }, "is F16, only F32")),
    case_name);

class BadCase : public testing::TestWithParam<Case> {};

TEST_P(BadCase, IsRefusedWithKeyAndLimit) {
  try {
    read(GetParam().model());
    FAIL() << "accepted";
  } catch (const BadModel& error) {
    EXPECT_THAT(error.what(), HasSubstr(GetParam().message));
    EXPECT_THAT(error.what(), HasSubstr("tiny.gguf: byte "));
  }
}

Case without_tensor(std::string name, const std::string& tensor) {
  return changed(
      std::move(name), TinyModel::gemma4, [=](TinyModel& m) { m.remove_tensor(tensor); },
      "tensor " + tensor + ": missing");
}

Case reshaped(std::string name, const std::string& tensor, const std::vector<std::uint64_t>& dims,
              std::string message) {
  return changed(
      std::move(name), TinyModel::gemma4, [=](TinyModel& m) { m.reshape_tensor(tensor, dims); },
      "tensor " + tensor + ": shape " + std::move(message));
}

const auto kGemma3 = &TinyModel::gemma3;
const auto kGemma4 = &TinyModel::gemma4;

INSTANTIATE_TEST_SUITE_P(
    Keys, BadCase,
    testing::Values(
        without_key("NoArchitecture", kGemma3, "general.architecture"),
        without_key("NoBlockCount", kGemma3, "gemma3.block_count"),
        without_key("NoWidth", kGemma3, "gemma3.embedding_length"),
        without_key("NoContext", kGemma4, "gemma4.context_length"),
        without_key("NoFfn", kGemma4, "gemma4.feed_forward_length"),
        without_key("NoHeads", kGemma3, "gemma3.attention.head_count"),
        without_key("NoKvHeads", kGemma3, "gemma3.attention.head_count_kv"),
        without_key("NoKeyLength", kGemma3, "gemma3.attention.key_length"),
        without_key("NoSlidingKeyLength", kGemma4, "gemma4.attention.key_length_swa"),
        without_key("NoWindow", kGemma3, "gemma3.attention.sliding_window"),
        without_key("NoPattern", kGemma4, "gemma4.attention.sliding_window_pattern"),
        without_key("NoFactor", kGemma3, "gemma3.rope.scaling.factor"),
        with_u32("ZeroLayers", kGemma3, "gemma3.block_count", 0, "0, limits are 1 and 1024"),
        with_u32("TooManyLayers", kGemma3, "gemma3.block_count", 1025, "limits are 1 and 1024"),
        with_u32("TooWide", kGemma3, "gemma3.embedding_length", 65'537, "limits are 1 and 65536"),
        with_u32("ZeroContext", kGemma3, "gemma3.context_length", 0, "limits are 1 and 16777216"),
        with_u32("ZeroWindow", kGemma3, "gemma3.attention.sliding_window", 0, "limits are 1"),
        with_u32("ZeroHeads", kGemma3, "gemma3.attention.head_count", 0, "limits are 1 and 1024"),
        with_u32("ZeroKvHeads", kGemma3, "gemma3.attention.head_count_kv", 0, "limits are 1 and 1024"),
        with_u32("KvHeadsDoNotDivide", kGemma3, "gemma3.attention.head_count_kv", 3,
                 "does not divide the 4 heads"),
        with_u32("OddHeadDim", kGemma3, "gemma3.attention.key_length", 15, "15 is odd"),
        with_u32("HugeHeadDim", kGemma3, "gemma3.attention.key_length", 514, "514, limits are 2 and 512"),
        with_u32("HugeSlidingHeadDim", kGemma4, "gemma4.attention.key_length_swa", 1024,
                 "limits are 2 and 512"),
        with_u32("ValueLengthDiffers", kGemma4, "gemma4.attention.value_length", 16, "differs from"),
        with_u32("RotatedPartDiffers", kGemma4, "gemma4.rope.dimension_count_swa", 8, "differs from"),
        with_u32("ZeroPeriod", kGemma3, "gemma3.attention.sliding_window_pattern", 0, "limits are 1 and 7"),
        with_u32("AnotherKind", kGemma3, "gemma3.rope.scaling.type", 1, "is an integer, expected a string"),
        changed(
            "NegativeCount", kGemma3,
            [](TinyModel& m) {
              m.set_key("gemma3.block_count", key_value("gemma3.block_count", 5, le<std::int32_t>(-6)));
            },
            "gemma3.block_count: -6 is negative"),
        changed(
            "ShortArray", kGemma4,
            [](TinyModel& m) {
              const std::string key = "gemma4.attention.head_count_kv";
              m.set_key(key, key_array(key, 5, 2, le<std::int32_t>(2) + le<std::int32_t>(2)));
            },
            "array of 2 for 6 layers"),
        changed(
            "ShortPattern", kGemma4,
            [](TinyModel& m) {
              const std::string key = "gemma4.attention.sliding_window_pattern";
              m.set_key(key, key_array(key, 7, 1, std::string(1, '\1')));
            },
            "array of 1 for 6 layers"),
        changed(
            "NegativeInArray", kGemma4,
            [](TinyModel& m) {
              const std::string key = "gemma4.attention.head_count_kv";
              std::string heads;
              for (int i = 0; i < 6; ++i) heads += le<std::int32_t>(i == 4 ? -2 : 2);
              m.set_key(key, key_array(key, 5, 6, heads));
            },
            "-2, limits are 1 and 1024"),
        changed(
            "EpsNotANumber", kGemma3,
            [](TinyModel& m) {
              const std::string key = "gemma3.attention.layer_norm_rms_epsilon";
              m.set_key(key, key_f32(key, std::nanf("")));
            },
            "layer_norm_rms_epsilon: nan, limits are"),
        changed(
            "EpsTooSmall", kGemma3,
            [](TinyModel& m) {
              const std::string key = "gemma3.attention.layer_norm_rms_epsilon";
              m.set_key(key, key_f32(key, 0x1p-50F));
            },
            "layer_norm_rms_epsilon: 8.881784197001252e-16, limits are 1e-12 and 0.01"),
        changed(
            "RopeBaseZero", kGemma3,
            [](TinyModel& m) { m.set_key("gemma3.rope.freq_base", key_f32("gemma3.rope.freq_base", 0)); },
            "rope.freq_base: 0, limits are 1 and 1e+12"),
        changed(
            "MoreTokensThanRows", kGemma3,
            [](TinyModel& m) {
              std::string tokens;
              for (int i = 0; i < 41; ++i) tokens += test_support::gguf_string("t");
              m.set_key("tokenizer.ggml.tokens", key_array("tokenizer.ggml.tokens", 8, 41, tokens));
            },
            "more tokens than the 40 rows")),
    case_name);

INSTANTIATE_TEST_SUITE_P(
    Tensors, BadCase,
    testing::Values(
        without_tensor("NoEmbedding", "token_embd.weight"),
        without_tensor("NoOutputNorm", "output_norm.weight"),
        without_tensor("NoQuery", "blk.2.attn_q.weight"),
        without_tensor("NoValueInASlidingLayer", "blk.0.attn_v.weight"),
        reshaped("Transposed", "blk.1.ffn_down.weight", {32, 64},
                 "[32, 64], the metadata calls for [64, 32]"),
        reshaped("ThirdDimension", "blk.5.attn_q.weight", {32, 128, 2}, "[32, 128, 2]"),
        reshaped("NormOfTheWrongHeadDim", "blk.5.attn_k_norm.weight", {16},
                 "[16], the metadata calls for [32]"),
        reshaped("RopeFreqsOfTheWrongSize", "rope_freqs.weight", {8}, "[8], the metadata calls for [16]"),
        reshaped("EmbeddingOfTheWrongWidth", "token_embd.weight", {64, 40}, "[64, 40]"),
        changed(
            "EmbeddingOfOneRow", kGemma4, [](TinyModel& m) { m.reshape_tensor("token_embd.weight", {32}); },
            "1 rows, limits are 2")),
    case_name);

}  // namespace
}  // namespace tandem::model
