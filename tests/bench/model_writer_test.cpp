#include "bench/model_writer.h"

#include <cmath>
#include <cstring>
#include <fstream>
#include <iterator>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/weights.h"
#include "model/catalogue.h"
#include "model/error.h"
#include "model/tokenizer.h"
#include "tests/support/temp_dir.h"

namespace tandem::bench {
namespace {

using model::Family;
using model::QuantRecipe;
using model::TensorType;
using test_support::TempDir;
using testing::HasSubstr;

/// Small enough to write in no time, wide enough for blocks of 256.
RandomModel tiny(Family family, TensorType type) {
  RandomModel random_model;
  random_model.shape = {"Tiny", family,
                        3,      256,
                        512,    4,
                        2,      family == Family::gemma4 ? 1U : 2U,
                        64,     family == Family::gemma4 ? 128U : 64U,
                        16,     3,
                        1024,   640};
  random_model.recipe = QuantRecipe::uniform(type);
  return random_model;
}

std::string bytes_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<float> floats_of(const model::Header& header, std::string_view name) {
  const auto bytes = header.data(*header.find_tensor(name));
  std::vector<float> values(bytes.size() / sizeof(float));
  std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

TEST(ModelWriter, WritesAWholeModelOfEveryTypeInBothFamilies) {
  const TempDir dir;
  for (const auto family : {Family::gemma3, Family::gemma4}) {
    for (const auto& info : model::tensor_types()) {
      const auto path = dir.path() / (std::string(info.name) + ".gguf");
      write_model_file(path, tiny(family, info.type), 2);
      const auto header = model::read_header(path);
      EXPECT_EQ(header.missing_bytes, 0U) << info.name;
      EXPECT_EQ(header.find_bool("tandem.noise"), true);
      EXPECT_EQ(header.find_tensor("blk.1.ffn_up.weight")->type, info.type);
      const auto hyperparameters = model::read_hyperparameters(header);
      EXPECT_EQ(hyperparameters.family, family);
      EXPECT_EQ(hyperparameters.layers.size(), 3U);
      EXPECT_EQ(hyperparameters.layers[2].kind, model::LayerKind::global);
      EXPECT_TRUE(hyperparameters.warnings.empty());
      EXPECT_EQ(model::Tokenizer::from_header(header)->size(), 640U);
    }
  }
}

TEST(ModelWriter, TheFileDependsOnTheSeedAndNotOnThreads) {
  const TempDir dir;
  auto random_model = tiny(Family::gemma4, TensorType::q4_k);
  random_model.shape.ffn_width = 16'384;  // matrices of more than one chunk
  random_model.shape.width = 1024;
  const auto write = [&](const char* name, std::uint64_t seed, unsigned threads) {
    random_model.seed = seed;
    write_model_file(dir.path() / name, random_model, threads);
    return bytes_of(dir.path() / name);
  };
  const auto first = write("a", 7, 1);
  EXPECT_TRUE(first == write("b", 7, 4));
  EXPECT_FALSE(first == write("c", 8, 4));
}

TEST(ModelWriter, NoMatrixIsLeftEmpty) {
  const TempDir dir;
  write_model_file(dir.path() / "m", tiny(Family::gemma4, TensorType::q6_k), 3);
  const auto header = model::read_header(dir.path() / "m");
  for (const auto& tensor : header.tensors) {
    const auto bytes = header.data(tensor);
    const auto last_row = bytes.last(tensor.size_bytes / tensor.dims[1]);
    EXPECT_TRUE(std::any_of(last_row.begin(), last_row.end(), [](std::byte b) { return b != std::byte{0}; }))
        << tensor.name;
  }
}

TEST(ModelWriter, VectorsAreOfSaneSize) {
  const TempDir dir;
  write_model_file(dir.path() / "m", tiny(Family::gemma4, TensorType::q8_0), 1);
  const auto header = model::read_header(dir.path() / "m");
  for (const float scale : floats_of(header, "blk.1.layer_output_scale.weight")) {
    EXPECT_GE(scale, 0.9f);
    EXPECT_LE(scale, 1.0f);
  }
  int negative = 0;
  for (const float weight : floats_of(header, "output_norm.weight")) {
    EXPECT_GE(std::fabs(weight), 3.0f);
    EXPECT_LE(std::fabs(weight), 5.0f);
    negative += weight < 0 ? 1 : 0;
  }
  EXPECT_GT(negative, 64);
  EXPECT_LT(negative, 192);
  const auto divisors = floats_of(header, "rope_freqs.weight");
  ASSERT_EQ(divisors.size(), 64U);
  EXPECT_EQ(divisors[15], 1.0f);
  EXPECT_EQ(divisors[16], 1e30f);
}

TEST(ModelWriter, MatricesKeepTheSizeOfWhatTheyMultiply) {
  model::TensorInfo matrix;
  matrix.dims = {3840, 100, 1, 1};
  EXPECT_FLOAT_EQ(matrix_deviation(matrix), 1.0f / std::sqrt(3840.0f));
}

TEST(ModelWriter, AHeaderAloneCanBePlannedAndHasTheFullVocabulary) {
  const TempDir dir;
  const auto entry = model::catalogue_entry("gemma4-12b-qat-q4_0");
  write_header_file(dir.path() / "h", {entry.shape, entry.recipe});
  const auto header = model::read_header(dir.path() / "h");
  EXPECT_EQ(header.tensor_bytes, 6'960'054'464U);
  EXPECT_EQ(header.missing_bytes, 6'960'054'464U);
  EXPECT_EQ(std::get<model::MetaArray>(header.find("tokenizer.ggml.merges")->value).size(), 514'906U);
  EXPECT_EQ(model::read_hyperparameters(header).layers,
            model::read_hyperparameters(model::catalogue_header("gemma4-12b-qat-q4_0")).layers);
}

TEST(ModelWriter, TheVocabularyCanBeLeftOut) {
  auto random_model = tiny(Family::gemma4, TensorType::f16);
  random_model.shape.vocab = 40;
  EXPECT_THROW(make_header(random_model), Error);
  random_model.vocabulary = VocabularyKind::none;
  EXPECT_THAT(make_header(random_model), testing::Not(HasSubstr("tokenizer.ggml")));
}

TEST(ModelWriter, AFailureLeavesNothingBehind) {
  const TempDir dir;
  const auto missing = dir.path() / "missing" / "m.gguf";
  try {
    write_model_file(missing, tiny(Family::gemma4, TensorType::q4_0), 1);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("missing/m.gguf.part: cannot create: No such file"));
  }
  auto bad = tiny(Family::gemma4, TensorType::q4_k);
  bad.shape.width = 96;  // not whole blocks
  EXPECT_THROW(write_model_file(dir.path() / "bad.gguf", bad, 1), Error);
  bad = tiny(Family::gemma4, TensorType::f32);
  bad.shape.heads = 3;  // 2 KV heads do not divide it
  EXPECT_THROW(write_model_file(dir.path() / "bad.gguf", bad, 1), model::BadModel);
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
}

}  // namespace
}  // namespace tandem::bench
