#include "bench/synthetic_vocabulary.h"

#include <set>
#include <unordered_set>

#include <gtest/gtest.h>

#include "model/error.h"
#include "model/tokenizer.h"

namespace tandem::bench {
namespace {

using model::Family;

constexpr std::uint32_t kGemmaTokens = 262'144;

std::unique_ptr<model::Tokenizer> tokenizer(Family family, std::uint32_t size, std::string& storage) {
  model::GgufWriter writer;
  write_synthetic_vocabulary(writer, family, make_synthetic_vocabulary(family, size));
  storage = writer.header();
  return model::Tokenizer::from_header(
      model::parse_header("vocabulary", std::as_bytes(std::span(storage)), nullptr));
}

class Vocabularies : public testing::TestWithParam<Family> {};

TEST_P(Vocabularies, HaveAsManyDifferentTokensAsAskedFor) {
  for (const std::uint32_t size : {kMinVocabulary, 1000U, kGemmaTokens, kMaxVocabulary}) {
    const auto vocabulary = make_synthetic_vocabulary(GetParam(), size);
    EXPECT_EQ(vocabulary.tokens.size(), size);
    EXPECT_EQ(vocabulary.scores.size(), size);
    EXPECT_EQ(vocabulary.kinds.size(), size);
    EXPECT_EQ(std::unordered_set<std::string>(vocabulary.tokens.begin(), vocabulary.tokens.end()).size(),
              size);
  }
  EXPECT_THROW(make_synthetic_vocabulary(GetParam(), kMinVocabulary - 1), Error);
  EXPECT_THROW(make_synthetic_vocabulary(GetParam(), kMaxVocabulary + 1), Error);
}

TEST_P(Vocabularies, TokeniseAnyTextAndBack) {
  for (const std::uint32_t size : {kMinVocabulary, kGemmaTokens}) {
    std::string storage;
    const auto tokens = tokenizer(GetParam(), size, storage);
    for (const std::string text : {"hello world", "Zürich  costs 42 €\n\n\nok", "\xff\xfe", "   "}) {
      std::string back;
      for (const auto id : tokens->encode(text, model::SpecialText::plain)) back += tokens->token_bytes(id);
      EXPECT_EQ(back, text) << size;
    }
    EXPECT_EQ(tokens->bos(), 2);
    EXPECT_TRUE(tokens->adds_bos());
    EXPECT_TRUE(tokens->ends_generation(1));
    EXPECT_TRUE(tokens->ends_generation(106));
    EXPECT_FALSE(tokens->ends_generation(500));
  }
}

TEST_P(Vocabularies, MakeWordsOfSeveralLetters) {
  std::string storage;
  const auto tokens = tokenizer(GetParam(), kGemmaTokens, storage);
  EXPECT_LT(tokens->encode("good morning to you", model::SpecialText::plain).size(), 12U);
}

INSTANTIATE_TEST_SUITE_P(BothFamilies, Vocabularies, testing::Values(Family::gemma3, Family::gemma4));

TEST(SyntheticVocabulary, Gemma4HasThePublishedNumberOfMergesAndEachMakesAToken) {
  const auto vocabulary = make_synthetic_vocabulary(Family::gemma4, kGemmaTokens);
  EXPECT_EQ(vocabulary.merges.size(), 514'906U);
  const std::unordered_set<std::string> tokens(vocabulary.tokens.begin(), vocabulary.tokens.end());
  std::unordered_set<std::string> seen;
  for (const auto& merge : vocabulary.merges) {
    const auto space = merge.find(' ');
    ASSERT_NE(space, std::string::npos);
    const auto left = merge.substr(0, space);
    const auto right = merge.substr(space + 1);
    ASSERT_TRUE(tokens.contains(left) && tokens.contains(right) && tokens.contains(left + right)) << merge;
    ASSERT_TRUE(seen.insert(merge).second) << merge;
  }
}

TEST(SyntheticVocabulary, Gemma3RanksByScoreAndHasNoMerges) {
  const auto vocabulary = make_synthetic_vocabulary(Family::gemma3, 1000);
  EXPECT_TRUE(vocabulary.merges.empty());
  EXPECT_GT(vocabulary.scores[600], vocabulary.scores[601]);
}

}  // namespace
}  // namespace tandem::bench
