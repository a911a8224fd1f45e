#include "model/score_tokenizer.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/small_vocabularies.h"

namespace tandem::model {
namespace {

using test_support::key_bool;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(ScoreTokenizer, HighestScoreMergesFirst) {
  auto file = small_score_file();
  file.add("ab", Kind::normal, -2).add("bc", Kind::normal, -1).add("abc", Kind::normal, -3);
  EXPECT_THAT(texts(*Tokenizer::from_header(file.header()), "abcab"), ElementsAre("abc", "ab"));
  file.scores.back() = -1;
  file.texts.back() = "ca";
  EXPECT_THAT(texts(*Tokenizer::from_header(file.header()), "bcab"),
              ElementsAre("bc", "ab"));  // tie: left first
}

/// What SentencePiece 0.2.3 gives for this vocabulary.
TEST(ScoreTokenizer, UnusedTokensAreTakenApartAgain) {
  auto file = small_score_file();
  file.add("d", Kind::unused, -13).add("ab", Kind::unused, -1).add("bc", Kind::normal, -2);
  file.add("abc", Kind::normal, -3).add("cd", Kind::unused, -4).add("abcd", Kind::unused, -5);
  const auto tokenizer = Tokenizer::from_header(file.header());
  EXPECT_THAT(texts(*tokenizer, "ab"), ElementsAre("a", "b"));
  EXPECT_THAT(texts(*tokenizer, "abcab"), ElementsAre("abc", "a", "b"));
  EXPECT_THAT(texts(*tokenizer, "bcd"), ElementsAre("bc", "<0x64>"));
  EXPECT_THAT(texts(*tokenizer, "cdab"), ElementsAre("c", "<0x64>", "a", "b"));
  EXPECT_THAT(texts(*tokenizer, "abcdabcd"), ElementsAre("abc", "<0x64>", "abc", "<0x64>"));
}

TEST(ScoreTokenizer, MergesNeverMakeControlTokens) {
  auto file = small_score_file();
  file.add("ab", Kind::control, -1);
  const auto tokenizer = Tokenizer::from_header(file.header());
  EXPECT_THAT(tokenizer->encode("ab", SpecialText::plain), ElementsAre(257, 258));
  EXPECT_THAT(tokenizer->encode("ab", SpecialText::parsed), ElementsAre(260));
}

TEST(ScoreTokenizer, UserDefinedTextsMatchWithSpacesHoweverTheyAreStored) {
  auto file = small_score_file();
  file.add("▁▁▁", Kind::user_defined).add("  ", Kind::user_defined);
  const auto tokenizer = Tokenizer::from_header(file.header());
  EXPECT_THAT(tokenizer->encode("a   b  ", SpecialText::plain), ElementsAre(257, 260, 258, 261));
  EXPECT_EQ(tokenizer->token_bytes(260), "   ");
  EXPECT_EQ(tokenizer->token_text(260), "▁▁▁");
}

TEST(ScoreTokenizer, AddsBosUnlessTheFileSaysNo) {
  auto file = small_score_file();
  EXPECT_TRUE(Tokenizer::from_header(file.header())->adds_bos());
  file.more_keys = {key_bool("tokenizer.ggml.add_bos_token", false)};
  EXPECT_FALSE(Tokenizer::from_header(file.header())->adds_bos());
}

TEST(ScoreTokenizer, ScoresMustBeThereAndBeNumbers) {
  auto file = small_score_file();
  file.scores.back() = std::nanf("");
  EXPECT_THAT(error_of(file), HasSubstr("score of token 259 is not a number"));
  file.scores.pop_back();
  EXPECT_THAT(error_of(file), HasSubstr("259 scores for 260 tokens"));
}

}  // namespace
}  // namespace tandem::model
