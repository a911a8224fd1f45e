#include "model/vocabulary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/model/small_vocabularies.h"

namespace tandem::model {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

TEST(Vocabulary, WrongArraysAreRefused) {
  EXPECT_THAT(error_of(VocabularyFile()), HasSubstr("tokenizer.ggml.tokens"));
  auto file = small_rank_file();
  file.kinds[5] = 7;
  EXPECT_THAT(error_of(file), HasSubstr("token 5 is of type 7, limits are 1 and 6"));
  file.kinds.pop_back();
  EXPECT_THAT(error_of(file), HasSubstr("266 types for 267 tokens"));
  EXPECT_THAT(error_of(VocabularyFile().add("<0x0G>", Kind::byte)), HasSubstr("not like <0x0A>"));
  EXPECT_THAT(error_of(VocabularyFile().add("a")),
              HasSubstr("neither all 256 byte tokens nor an unknown token"));
}

TEST(Vocabulary, TheUnknownTokenStandsInForMissingBytes) {
  const auto tokenizer =
      Tokenizer::from_header(VocabularyFile().add("<unk>", Kind::unknown).add("<0xC3>", Kind::byte).header());
  EXPECT_THAT(tokenizer->encode("é", SpecialText::plain), ElementsAre(1, 0));
}

TEST(Vocabulary, AnotherTokenizerIsUnsupported) {
  auto file = small_rank_file();
  file.model = "gpt2";
  EXPECT_THROW((void)Tokenizer::from_header(file.header()), UnsupportedModel);
  file.model = "\x1b[31m\xff" + std::string(1000, 'x');
  EXPECT_THAT([&] { (void)Tokenizer::from_header(file.header()); },
              testing::ThrowsMessage<UnsupportedModel>(
                  testing::EndsWith("is \"?[31m?" + std::string(58, 'x') + "...\"")));
}

}  // namespace
}  // namespace tandem::model
