#include "daemon/grammar_cache.h"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/openai_error.h"
#include "model/gbnf.h"
#include "model/grammar_matcher.h"
#include "tests/support/fixture.h"

namespace tandem::daemon {
namespace {

class GrammarCacheTest : public testing::Test {
 protected:
  std::shared_ptr<model::GrammarMasks> masks(const std::string& key) {
    return cache_.masks(key, model::CallMarkup::left_out, [&] {
      ++made_;
      return model::read_gbnf("root ::= \"" + key + "\"");
    });
  }

  const std::unique_ptr<model::Tokenizer> tokenizer_ =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_vocab.gguf")));
  GrammarCache cache_{*tokenizer_};
  int made_ = 0;
};

TEST_F(GrammarCacheTest, KeepsWhatWasUsedLast) {
  const auto first = masks("a");
  for (std::size_t i = 0; i + 1 < GrammarCache::kMostGrammars; ++i) masks("b" + std::to_string(i));
  EXPECT_EQ(masks("a"), first);
  const int made = made_;
  masks("new");
  EXPECT_EQ(masks("a"), first) << "the one that was used longest ago went, not this";
  EXPECT_EQ(made_, made + 1);
  masks("b0");
  EXPECT_EQ(made_, made + 2) << "that one";
}

TEST_F(GrammarCacheTest, WhatIsForgottenStaysUsable) {
  const auto first = masks("ab");
  for (std::size_t i = 0; i < GrammarCache::kMostGrammars; ++i) masks("b" + std::to_string(i));
  model::GrammarMatcher matcher(first);
  EXPECT_TRUE(matcher.accept(*tokenizer_->find("a")));
}

/// Schemas with long texts have masks of half the vocabulary, one for each length that a text may have yet.
TEST_F(GrammarCacheTest, MasksOfAllGrammarsTogetherStayWithinTheirBytes) {
  constexpr std::size_t kMostBytes = 40'000;
  GrammarCache bounded(*tokenizer_, kMostBytes);
  GrammarCache ample(*tokenizer_);
  for (int i = 0; i < 6; ++i) {
    const auto make = [&] {
      return model::read_gbnf("root ::= \"" + std::to_string(i) + "\" [^x]{0,40} | [^y]* \"z\"");
    };
    const auto key = std::to_string(i);
    model::GrammarMatcher one(bounded.masks(key, model::CallMarkup::left_out, make));
    model::GrammarMatcher other(ample.masks(key, model::CallMarkup::left_out, make));
    for (int step = 0; step < 30; ++step) {
      const auto allowed = other.allowed();
      ASSERT_TRUE(std::ranges::equal(one.allowed().words(), allowed.words()));
      ASSERT_LE(bounded.mask_bytes(), kMostBytes);
      auto token = static_cast<model::TokenId>(1000 * i + 37 * step) % static_cast<int>(tokenizer_->size());
      while (!allowed.contains(token) || tokenizer_->ends_generation(token)) {
        token = (token + 1) % static_cast<int>(tokenizer_->size());
      }
      ASSERT_TRUE(one.accept(token));
      ASSERT_TRUE(other.accept(token));
    }
  }
  EXPECT_GT(ample.mask_bytes(), 2 * kMostBytes) << "so the bound was one";
}

std::vector<model::GrammarRule> large_grammar(int i) {
  return model::read_gbnf("root ::= \"" + std::to_string(i) + "\" [a-z]{10000} [0-9]{10000} [A-Z]{10000}");
}

TEST_F(GrammarCacheTest, GrammarsThatAreInUseTakeSoManyBytesOnly) {
  const auto bytes = GrammarCache(*tokenizer_).masks("", {}, [] { return large_grammar(0); })->bytes();
  GrammarCache cache(*tokenizer_, model::MaskStore::kDefaultBytes, 4 * bytes);
  const auto get = [&](int i) {
    return cache.masks(std::to_string(i), {}, [i] { return large_grammar(i); });
  };
  for (int i = 0; i < 20; ++i) EXPECT_NE(get(i), nullptr) << "those that nobody has make room";
  std::vector<std::shared_ptr<model::GrammarMasks>> held;
  try {
    for (int i = 100; i < 120; ++i) held.push_back(get(i));
    FAIL();
  } catch (const ipc::RequestError& error) {
    EXPECT_EQ(error.status(), 503U);
  }
  EXPECT_GE(held.size(), 2U);
  EXPECT_LE(held.size(), 4U);
  held.clear();
  EXPECT_NE(get(130), nullptr);
}

TEST_F(GrammarCacheTest, AGrammarThatNeverFitsIsRefusedForGood) {
  const auto bytes = GrammarCache(*tokenizer_).masks("", {}, [] { return large_grammar(0); })->bytes();
  GrammarCache cache(*tokenizer_, model::MaskStore::kDefaultBytes, bytes - 1);
  try {
    cache.masks("0", {}, [] { return large_grammar(0); });
    FAIL();
  } catch (const model::GrammarError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("the limit grammar_bytes, " + std::to_string(bytes - 1)));
  }
  GrammarCache roomy(*tokenizer_, model::MaskStore::kDefaultBytes, bytes);
  EXPECT_NE(roomy.masks("0", {}, [] { return large_grammar(0); }), nullptr);
}

TEST_F(GrammarCacheTest, AGrammarThatIsNoneIsNotKept) {
  const auto bad = [&] {
    cache_.masks("bad", model::CallMarkup::left_out, [&] { return model::read_gbnf("root ::= missing"); });
  };
  EXPECT_THROW(bad(), model::GrammarError);
  EXPECT_THROW(bad(), model::GrammarError);
}

}  // namespace
}  // namespace tandem::daemon
