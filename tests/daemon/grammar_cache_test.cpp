#include "daemon/grammar_cache.h"

#include <gtest/gtest.h>

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

TEST_F(GrammarCacheTest, AGrammarThatIsNoneIsNotKept) {
  const auto bad = [&] {
    cache_.masks("bad", model::CallMarkup::left_out, [&] { return model::read_gbnf("root ::= missing"); });
  };
  EXPECT_THROW(bad(), model::GrammarError);
  EXPECT_THROW(bad(), model::GrammarError);
}

}  // namespace
}  // namespace tandem::daemon
