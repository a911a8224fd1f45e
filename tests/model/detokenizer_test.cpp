#include "model/detokenizer.h"

#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/utf8.h"
#include "tests/model/whole_text.h"
#include "tests/support/fixture.h"
#include "tests/support/vocabulary_file.h"

namespace tandem::model {
namespace {

using test_support::Fixture;
using test_support::reference_path;
using test_support::VocabularyFile;

/// Byte strings cut into tokens at random, each piece a token of its own, and what Python makes of the whole.
class DetokenizerFixture : public testing::Test {
 protected:
  void cut(std::string_view bytes) {
    rows_.emplace_back();
    while (!bytes.empty()) {
      const auto n = std::min<std::size_t>(bytes.size(), 1 + random_() % 5);
      rows_.back().push_back(static_cast<TokenId>(file_.texts.size()));
      file_.add(bytes.substr(0, n));
      bytes.remove_prefix(n);
    }
  }

  std::mt19937 random_{1};
  VocabularyFile file_ = VocabularyFile().add("<unk>", VocabularyFile::unknown);
  std::vector<std::vector<TokenId>> rows_;
};

TEST_F(DetokenizerFixture, GivesPythonsTextAtAnyCut) {
  const auto fixture = Fixture::load(reference_path("utf8.fixture"));
  const auto count = fixture.row_count("bytes");
  ASSERT_GT(count, 100U);
  constexpr int kCuts = 5;
  for (std::size_t row = 0; row < count; ++row) {
    for (int i = 0; i < kCuts; ++i) cut(fixture.text_row("bytes", row));
  }
  const auto tokenizer = Tokenizer::from_header(file_.header());
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    Detokenizer detokenizer(*tokenizer);
    std::string text;
    for (const auto token : rows_[i]) {
      const auto piece = detokenizer.push(token);
      ASSERT_TRUE(is_whole(piece)) << testing::PrintToString(piece);
      text += piece;
    }
    text += detokenizer.finish();
    ASSERT_EQ(text, fixture.text_row("text", i / kCuts)) << "row " << i / kCuts;
  }
}

TEST(Detokenizer, EmitsACharacterWithItsLastByte) {
  const auto tokenizer = Tokenizer::from_header(VocabularyFile().add_bytes().header());
  Detokenizer detokenizer(*tokenizer);
  EXPECT_EQ(detokenizer.push(0xF0), "");
  EXPECT_EQ(detokenizer.push(0x9F), "");
  EXPECT_EQ(detokenizer.push(0x98), "");
  EXPECT_EQ(detokenizer.push(0x80), "😀");
  EXPECT_EQ(detokenizer.push(0x41), "A");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, WhatCannotBecomeACharacterIsReplacedAtOnce) {
  const auto tokenizer = Tokenizer::from_header(VocabularyFile().add_bytes().header());
  Detokenizer detokenizer(*tokenizer);
  EXPECT_EQ(detokenizer.push(0xFF), "\uFFFD");
  EXPECT_EQ(detokenizer.push(0xE2), "");
  EXPECT_EQ(detokenizer.push(0x41), "\uFFFDA");
  EXPECT_EQ(detokenizer.push(0xE2), "");
  EXPECT_EQ(detokenizer.finish(), "\uFFFD");
  EXPECT_EQ(detokenizer.finish(), "");
}

TEST(Detokenizer, TokensOutOfRangeSayNothing) {
  const auto tokenizer = Tokenizer::from_header(VocabularyFile().add_bytes().header());
  Detokenizer detokenizer(*tokenizer);
  EXPECT_EQ(detokenizer.push(-1), "");
  EXPECT_EQ(detokenizer.push(256), "");
}

}  // namespace
}  // namespace tandem::model
