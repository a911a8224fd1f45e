#include <filesystem>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/hyperparameters.h"
#include "model/tokenizer.h"

namespace tandem::model {
namespace {

using testing::ElementsAre;

// The file that ships in config/embedded: what its card says of it.
const std::filesystem::path kFile =
    std::filesystem::path(TANDEM_SOURCE_DIR) / "config/embedded/tandem-tiny-q4_0.gguf";

TEST(EmbeddedModel, IsASmallFile) {
  EXPECT_LT(std::filesystem::file_size(kFile), 8'000'000);
}

TEST(EmbeddedModel, HasTheShapeOnItsCard) {
  const auto model = read_hyperparameters(read_header(kFile));
  EXPECT_EQ(model.family, Family::gemma4);
  EXPECT_EQ(model.width, 256);
  EXPECT_EQ(model.vocab, 4096);
  EXPECT_EQ(model.context_length, 2048);
  EXPECT_EQ(model.final_softcap, 30.0f);
  EXPECT_TRUE(model.warnings.empty());
  ASSERT_EQ(model.layers.size(), 6);
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(model.layers[i], (LayerSpec{LayerKind::sliding, 4, 2, 64, 128, 1024, true, 1.0f})) << i;
  }
  EXPECT_EQ(model.layers[5], (LayerSpec{LayerKind::global, 4, 1, 128, 0, 1024, false, 1.0f}));
}

TEST(EmbeddedModel, QuantisesMatricesAsQ4AndTheTableAsQ6) {
  const auto header = read_header(kFile);
  EXPECT_EQ(header.find_tensor("token_embd.weight")->type, TensorType::q6_k);
  EXPECT_EQ(header.find_tensor("blk.0.ffn_down.weight")->type, TensorType::q4_0);
  EXPECT_EQ(header.find_tensor("blk.5.attn_k.weight")->type, TensorType::q4_0);
  EXPECT_EQ(header.find_tensor("blk.5.attn_v.weight"), nullptr);
}

// Ids by the Python package `tokenizers`: a BPE model of the same tokens and merges, blanks as U+2581.
TEST(EmbeddedModel, EncodesAsTheReferenceDoes) {
  const auto tokenizer = Tokenizer::from_header(read_header(kFile));
  EXPECT_TRUE(tokenizer->adds_bos());
  EXPECT_THAT(tokenizer->encode("What is zstd?", SpecialText::plain),
              ElementsAre(4059, 4015, 287, 322, 1478, 339, 4012, 4087));
  EXPECT_THAT(tokenizer->encode("na\u00efve  \u03a9", SpecialText::plain),
              ElementsAre(4009, 4003, 217, 197, 381, 4001, 4001, 228, 191));
  EXPECT_THAT(tokenizer->encode_prompt("<|turn>user\nHi<turn|>\n", SpecialText::parsed),
              ElementsAre(2, 5, 3159, 278, 4053, 4005, 6, 278));
}

}  // namespace
}  // namespace tandem::model
