#include "model/catalogue.h"

#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "model/hyperparameters.h"
#include "tests/model/layer_kinds.h"
#include "tests/support/fixture.h"
#include "tests/support/temp_dir.h"

namespace tandem::model {
namespace {

using testing::HasSubstr;
using testing::Pair;
using testing::SizeIs;
using testing::UnorderedElementsAre;

std::map<std::string_view, int> type_counts(const Header& header) {
  std::map<std::string_view, int> counts;
  for (const auto& tensor : header.tensors) ++counts[tensor_type_info(tensor.type).name];
  return counts;
}

TEST(Catalogue, EveryEntryIsAModelWithoutWarnings) {
  const auto names = catalogue_names();
  EXPECT_THAT(names, SizeIs(5 * 4));
  for (const auto& name : names) {
    const auto header = catalogue_header(name);
    EXPECT_EQ(header.name, "catalogue:" + name);
    EXPECT_EQ(header.missing_bytes, header.tensor_bytes);
    const auto model = read_hyperparameters(header);
    EXPECT_EQ(model.vocab, 262'144U) << name;
    EXPECT_THAT(model.warnings, testing::IsEmpty()) << name;
  }
}

TEST(Catalogue, FilesHaveThePublishedNumberOfTensors) {
  EXPECT_THAT(catalogue_header("gemma3-4b-bf16").tensors, SizeIs(444));
  EXPECT_THAT(catalogue_header("gemma3-12b-q8_0").tensors, SizeIs(626));
  EXPECT_THAT(catalogue_header("gemma3-27b-qat-q4_0").tensors, SizeIs(808));
  EXPECT_THAT(catalogue_header("gemma4-12b-q4_k_m").tensors, SizeIs(667));
  EXPECT_THAT(catalogue_header("gemma4-31b-qat-q4_0").tensors, SizeIs(833));
}

TEST(Catalogue, TensorBytesAreThoseOfThePublishedFile) {
  // The file has 6,975,879,296 bytes, 15.8 MB of them header.
  EXPECT_EQ(catalogue_header("gemma4-12b-qat-q4_0").tensor_bytes, 6'960'054'464U);
}

/// Sum of `measure` over the tensors that are matrices.
std::uint64_t sum_of_matrices(const std::string& name, std::uint64_t (*measure)(const TensorInfo&)) {
  std::uint64_t sum = 0;
  for (const auto& tensor : catalogue_header(name).tensors) {
    if (tensor.n_dims == 2) sum += measure(tensor);
  }
  return sum;
}

TEST(Catalogue, MatrixBytesAreThoseCalculatedFromShapes) {
  const auto bytes = [](const std::string& name) {
    return static_cast<double>(sum_of_matrices(name, [](const TensorInfo& t) { return t.size_bytes; }));
  };
  EXPECT_NEAR(bytes("gemma3-27b-qat-q4_0") / 0x1p30, 16.035,
              0.0005);                                             // published: 16.040 GiB with the header
  EXPECT_NEAR(bytes("gemma3-12b-qat-q4_0") / 1e9, 8.065, 0.0005);  // published: 8.07 GB
  EXPECT_NEAR(bytes("gemma3-4b-qat-q4_0") / 1e9, 3.15, 0.005);
  EXPECT_NEAR(bytes("gemma4-31b-qat-q4_0") / 1e9, 17.630, 0.0005);  // published: about 17.7 GB
}

TEST(Catalogue, MatricesHaveThePublishedNumberOfParameters) {
  const std::map<std::string, double> billions{{"gemma3-4b", 3.880},
                                               {"gemma3-12b", 11.765},
                                               {"gemma3-27b", 27.008},
                                               {"gemma4-12b", 11.907},
                                               {"gemma4-31b", 30.696}};
  for (const auto& [name, expected] : billions) {
    const auto elems = sum_of_matrices(name + "-bf16", [](const TensorInfo& t) { return t.elems(); });
    EXPECT_NEAR(static_cast<double>(elems) / 1e9, expected, 0.0005) << name;
  }
}

TEST(Catalogue, TypesAreThoseOfPublishedFiles) {
  EXPECT_THAT(type_counts(catalogue_header("gemma4-12b-q4_k_m")),
              UnorderedElementsAre(Pair("F32", 338), Pair("Q4_K", 284), Pair("Q6_K", 45)));
  EXPECT_THAT(type_counts(catalogue_header("gemma3-27b-qat-q4_0")),
              UnorderedElementsAre(Pair("F32", 373), Pair("F16", 1), Pair("Q4_0", 434)));
  EXPECT_THAT(type_counts(catalogue_header("gemma4-12b-qat-q4_0")),
              UnorderedElementsAre(Pair("F32", 338), Pair("Q4_0", 328), Pair("Q6_K", 1)));
  EXPECT_THAT(type_counts(catalogue_header("gemma4-31b-q8_0")),
              UnorderedElementsAre(Pair("F32", 422), Pair("Q8_0", 411)));
}

TEST(Catalogue, SixBitTensorsStandWhereTheRuleSays) {
  const auto header = catalogue_header("gemma4-12b-q4_k_m");
  const auto type = [&](const std::string& name) { return header.find_tensor(name)->type; };
  // 48 ffn_down: the first 6, the last 6, and 8, 11, ... between.
  EXPECT_EQ(type("blk.5.ffn_down.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.6.ffn_down.weight"), TensorType::q4_k);
  EXPECT_EQ(type("blk.8.ffn_down.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.41.ffn_down.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.40.ffn_down.weight"), TensorType::q4_k);
  EXPECT_EQ(type("blk.42.ffn_down.weight"), TensorType::q6_k);
  // 40 attn_v: global layers have none and are not counted, so the 6th is that of layer 6.
  EXPECT_EQ(type("blk.4.attn_v.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.6.attn_v.weight"), TensorType::q4_k);
  EXPECT_EQ(type("blk.8.attn_v.weight"), TensorType::q6_k);
  EXPECT_EQ(type("blk.0.attn_k.weight"), TensorType::q4_k);
  EXPECT_EQ(type("token_embd.weight"), TensorType::q6_k);
}

TEST(Catalogue, Gemma4HeaderSaysWhatTheRealFileSays) {
  const auto header = catalogue_header("gemma4-12b-qat-q4_0");
  EXPECT_EQ(header.find_uint("general.file_type"), 2U);
  EXPECT_EQ(header.find_uint("gemma4.attention.key_length"), 512U);
  EXPECT_EQ(header.find_uint("gemma4.attention.key_length_swa"), 256U);
  const auto model = read_hyperparameters(header);
  EXPECT_EQ(model.context_length, 262'144U);
  std::string expected;
  for (int i = 0; i < 8; ++i) expected += "LLLLLG";
  EXPECT_EQ(layer_kinds(model), expected);
  EXPECT_EQ(model.layers[0], (LayerSpec{LayerKind::sliding, 16, 8, 256, 1024, 15'360, true, 1.0f}));
  EXPECT_EQ(model.layers[47], (LayerSpec{LayerKind::global, 16, 1, 512, 0, 15'360, false, 1.0f}));
  const auto& dims = header.find_tensor("blk.47.attn_output.weight")->dims;
  EXPECT_EQ(dims, (std::array<std::uint64_t, 4>{8192, 3840, 1, 1}));
}

TEST(Catalogue, AttentionScalesAreThoseOfTheFamilies) {
  EXPECT_EQ(read_hyperparameters(catalogue_header("gemma3-4b-q8_0")).layers[0].attention_scale, 0.0625f);
  EXPECT_EQ(read_hyperparameters(catalogue_header("gemma3-12b-q8_0")).layers[0].attention_scale, 0.0625f);
  EXPECT_FLOAT_EQ(read_hyperparameters(catalogue_header("gemma3-27b-q8_0")).layers[0].attention_scale,
                  0.0771517f);
  EXPECT_EQ(read_hyperparameters(catalogue_header("gemma4-31b-q8_0")).layers[0].attention_scale, 1.0f);
}

TEST(Catalogue, UnknownNamesGetTheNearestAndAll) {
  try {
    (void)catalogue_header("gemma4-12b-qat-q4");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("gemma4-12b-qat-q4"));
    EXPECT_THAT(error.hint(), HasSubstr("did you mean gemma4-12b-qat-q4_0?"));
    for (const auto& name : catalogue_names()) EXPECT_THAT(error.hint(), HasSubstr(name));
  }
}

TEST(OpenModel, SaysWhereANameThatIsNoFileIsAModel) {
  try {
    (void)open_model("gemma4-12b-qat-q4_0");
    FAIL();
  } catch (const UnreadableFile& error) {
    EXPECT_THAT(error.what(), HasSubstr("No such file"));
    EXPECT_EQ(error.hint(), "catalogue:gemma4-12b-qat-q4_0 needs no file");
  }
  try {
    (void)open_model("gemma4-12b-qat-q4_1");
    FAIL();
  } catch (const UnreadableFile& error) {
    EXPECT_EQ(error.hint(), "");
  }
}

TEST(OpenModel, TakesCatalogueNamesAndFiles) {
  EXPECT_THAT(open_model("catalogue:gemma4-12b-qat-q4_0").tensors, SizeIs(667));
  EXPECT_EQ(open_model(test_support::reference_path("gemma4_4l.gguf").string()).missing_bytes, 0U);
  EXPECT_THROW((void)open_model("catalogue:"), Error);
  EXPECT_THROW((void)open_model("no-such-file.gguf"), Error);
}

}  // namespace
}  // namespace tandem::model
