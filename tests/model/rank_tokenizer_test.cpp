#include "model/rank_tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/small_vocabularies.h"

namespace tandem::model {
namespace {

using test_support::key_bool;
using test_support::key_string;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(RankTokenizer, LowestRankMergesFirst) {
  const auto tokenizer = Tokenizer::from_header(small_rank_file().header());
  EXPECT_THAT(texts(*tokenizer, "abc"), ElementsAre("a", "bc"));  // no merge "a bc"
  EXPECT_THAT(texts(*tokenizer, "abab"), ElementsAre("ab", "ab"));
  EXPECT_THAT(texts(*tokenizer, "a abc"), ElementsAre("a", "▁a", "bc"));
}

TEST(RankTokenizer, NewlineRunsAreOneTokenIfTheVocabularyHasOne) {
  const auto tokenizer = Tokenizer::from_header(small_rank_file().header());
  EXPECT_THAT(texts(*tokenizer, "a\n\n\nb"), ElementsAre("a", "\n\n\n", "b"));
  EXPECT_THAT(texts(*tokenizer, "\n\n"), ElementsAre("\n", "\n"));
}

TEST(RankTokenizer, TheFirstOfTwoEqualMergesCounts) {
  auto file = small_rank_file();
  file.merges = {"a b", "b c", "a b"};
  EXPECT_THAT(texts(*Tokenizer::from_header(file.header()), "abc"), ElementsAre("ab", "c"));
}

TEST(RankTokenizer, BrokenMergesAreRefused) {
  for (const auto* merge : {"a", "", "a ", " a", "a x", "x a", "a c", "a b c"}) {
    auto file = small_rank_file();
    file.merges.emplace_back(merge);
    EXPECT_THAT(error_of(file), HasSubstr("tokenizer.ggml.merges: merge 4 is not two tokens")) << merge;
  }
}

TEST(RankTokenizer, AddsBosWhateverTheFileSays) {
  auto file = small_rank_file();
  file.more_keys = {key_bool("tokenizer.ggml.add_bos_token", false)};
  EXPECT_TRUE(Tokenizer::from_header(file.header())->adds_bos());
}

TEST(RankTokenizer, ModelLlamaWithPreGemma4IsRankedToo) {
  auto file = small_rank_file();
  file.model = "llama";
  file.more_keys = {key_string("tokenizer.ggml.pre", "gemma4")};
  EXPECT_THAT(error_of(file), HasSubstr("tokenizer.ggml.merges: missing"));
}

}  // namespace
}  // namespace tandem::model
