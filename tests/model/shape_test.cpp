#include "model/shape.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"

namespace tandem::model {
namespace {

using testing::HasSubstr;

constexpr std::string_view kTiny = R"({
  "family": "gemma4", "layers": 4, "width": 256, "ffn_width": 512, "heads": 4, "kv_heads_sliding": 2,
  "kv_heads_global": 1, "head_dim_sliding": 64, "head_dim_global": 128, "window": 16, "global_period": 2,
  "context_length": 1024, "vocab": 300
})";

std::string replaced(std::string_view from, std::string_view to) {
  std::string text(kTiny);
  const auto at = text.find(from);
  if (at == text.npos) throw std::logic_error(std::string(from));
  return text.replace(at, from.size(), to);
}

std::string message_of(const std::string& text) {
  try {
    (void)shape_from_json(text, "shape.json");
  } catch (const Error& error) {
    return error.what() + std::string(" ") + error.hint();
  }
  return "accepted";
}

Header header_of(const Shape& shape, const QuantRecipe& recipe) {
  GgufWriter writer;
  write_model(writer, shape, recipe);
  const auto bytes = std::make_shared<const std::string>(writer.header());
  return parse_header("shape", std::as_bytes(std::span(*bytes)), bytes);
}

TEST(Shape, MakesAModelOfAnyNumbers) {
  const auto shape = shape_from_json(kTiny, "shape.json");
  const auto model = read_hyperparameters(header_of(shape, QuantRecipe::uniform(TensorType::q5_k)));
  ASSERT_EQ(model.layers.size(), 4U);
  EXPECT_EQ(model.layers[2], (LayerSpec{LayerKind::sliding, 4, 2, 64, 16, 512, true, 1.0f}));
  EXPECT_EQ(model.layers[3], (LayerSpec{LayerKind::global, 4, 1, 128, 0, 512, false, 1.0f}));
  EXPECT_EQ(model.vocab, 300U);
  EXPECT_EQ(model.name, "custom");
}

TEST(Shape, Gemma3WithAnotherPatternCarriesIt) {
  auto shape = shape_from_json(kTiny, "shape.json");
  shape.family = Family::gemma3;
  shape.kv_heads_global = shape.kv_heads_sliding;
  shape.head_dim_global = shape.head_dim_sliding;
  const auto model = read_hyperparameters(header_of(shape, QuantRecipe::uniform(TensorType::f32)));
  EXPECT_EQ(model.layers[0].kind, LayerKind::sliding);
  EXPECT_EQ(model.layers[1].kind, LayerKind::global);
  EXPECT_TRUE(model.layers[1].has_v);
  shape.kv_heads_global = 1;
  EXPECT_THROW(header_of(shape, QuantRecipe::uniform(TensorType::f32)), Error);
}

TEST(Shape, OverridesNameAStemOrATensor) {
  const auto shape = shape_from_json(kTiny, "shape.json");
  auto recipe = QuantRecipe::uniform(TensorType::q8_0);
  recipe.overrides = {{"ffn_down", TensorType::q4_1},
                      {"blk.2.ffn_down.weight", TensorType::q5_0},
                      {"token_embd", TensorType::f16}};
  const auto header = header_of(shape, recipe);
  EXPECT_EQ(header.find_tensor("blk.1.ffn_down.weight")->type, TensorType::q4_1);
  EXPECT_EQ(header.find_tensor("blk.2.ffn_down.weight")->type, TensorType::q5_0);
  EXPECT_EQ(header.find_tensor("token_embd.weight")->type, TensorType::f16);
  EXPECT_EQ(header.find_tensor("blk.2.ffn_up.weight")->type, TensorType::q8_0);
  EXPECT_EQ(header.find_tensor("blk.2.ffn_norm.weight")->type, TensorType::f32);
}

TEST(Shape, AnOverrideThatMatchesNoMatrixIsRefused) {
  const auto shape = shape_from_json(kTiny, "shape.json");
  for (const auto& [name, hint] : {std::pair{"ffn_dwon", "ffn_down"}, std::pair{"attn_norm", "attn_"},
                                   std::pair{"blk.4.ffn_up.weight", "ffn_up.weight"}}) {
    auto recipe = QuantRecipe::uniform(TensorType::q8_0);
    recipe.overrides = {{name, TensorType::f16}};
    try {
      header_of(shape, recipe);
      ADD_FAILURE() << name << " was accepted";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr(name));
      EXPECT_THAT(error.hint(), HasSubstr(hint));
    }
  }
}

TEST(Shape, BlocksMustFitTheRows) {
  auto shape = shape_from_json(kTiny, "shape.json");
  shape.width = 96;
  EXPECT_THROW(header_of(shape, QuantRecipe::uniform(TensorType::q4_k)), Error);
  EXPECT_NO_THROW(header_of(shape, QuantRecipe::uniform(TensorType::q4_0)));
}

TEST(Shape, MistakesInJsonAreNamed) {
  EXPECT_THAT(message_of("["), HasSubstr("shape.json: not a JSON object"));
  EXPECT_THAT(message_of(replaced("\"width\"", "\"widht\"")), HasSubstr("did you mean \"width\"?"));
  EXPECT_THAT(message_of(replaced("\"vocab\": 300", "\"name\": \"x\"")), HasSubstr("\"vocab\" is missing"));
  EXPECT_THAT(message_of(replaced("300", "0")), HasSubstr("\"vocab\" must be a whole number"));
  EXPECT_THAT(message_of(replaced("300", "-3")), HasSubstr("\"vocab\" must be a whole number"));
  EXPECT_THAT(message_of(replaced("300", "4294967296")), HasSubstr("\"vocab\" must be a whole number"));
  EXPECT_THAT(message_of(replaced("300", "\"300\"")), HasSubstr("\"vocab\" must be a whole number"));
  EXPECT_THAT(message_of(replaced("\"layers\": 4", "\"layers\": 4000000000")),
              HasSubstr("\"layers\" must be a whole number from 1 to 1024"));
  EXPECT_THAT(message_of(replaced("\"head_dim_global\": 128", "\"head_dim_global\": 514")),
              HasSubstr("\"head_dim_global\" must be a whole number from 1 to 512"));
  EXPECT_THAT(message_of(replaced("gemma4", "gemma2")), HasSubstr("\"family\" must be"));
  EXPECT_THAT(message_of(replaced("\"vocab\"", "\"name\": 1, \"vocab\"")),
              HasSubstr("\"name\" must be a string"));
}

}  // namespace
}  // namespace tandem::model
