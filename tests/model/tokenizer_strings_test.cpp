#include <algorithm>
#include <filesystem>
#include <map>
#include <span>
#include <string>

#include <gtest/gtest.h>

#include "model/tokenizer.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

using test_support::Fixture;

/// A vocabulary made in the set-up, generated strings, and the ids that SentencePiece (Gemma 3) or Hugging
/// Face tokenizers (Gemma 4) give them: tests/reference/make_strings.py.
class GeneratedStrings : public testing::TestWithParam<std::string> {
 protected:
  static std::filesystem::path file(const std::string& extension) {
    return std::filesystem::path(TANDEM_BINARY_DIR) / "strings" / (GetParam() + extension);
  }

  std::unique_ptr<Tokenizer> tokenizer_ = Tokenizer::from_header(read_header(file(".gguf")));
  Fixture fixture_ = Fixture::load(file(".fixture"));
};

/// The ids around the first difference.
std::string difference(std::span<const TokenId> ours, std::span<const TokenId> theirs) {
  const auto at = std::ranges::mismatch(ours, theirs).in1 - ours.begin();
  const auto shown = [&](std::span<const TokenId> ids) {
    const auto begin = std::min<std::size_t>(ids.size(), at > 3 ? static_cast<std::size_t>(at) - 3 : 0);
    const auto few = ids.subspan(begin, std::min<std::size_t>(ids.size() - begin, 10));
    return testing::PrintToString(std::vector<TokenId>(few.begin(), few.end()));
  };
  return "from id " + std::to_string(at) + ": " + shown(ours) + " instead of " + shown(theirs);
}

TEST_P(GeneratedStrings, HaveTheReferenceIds) {
  const auto rows = fixture_.row_count("text");
  EXPECT_GE(rows, 10'000U);
  std::map<std::string, int> of_class;
  int wrong = 0;
  for (std::size_t row = 0; row < rows && wrong < 10; ++row) {
    const std::string name(fixture_.text_row("name", static_cast<std::size_t>(fixture_.i32("class")[row])));
    const auto text = fixture_.text_row("text", row);
    const auto special = fixture_.u8("parsed")[row] == 1 ? SpecialText::parsed : SpecialText::plain;
    const auto ids = tokenizer_->encode(text, special);
    const auto expected = fixture_.i32_row("ids", row);
    ++of_class[name];
    if (std::ranges::equal(ids, expected)) continue;
    ++wrong;
    ADD_FAILURE() << name << ", row " << row << ", "
                  << (special == SpecialText::parsed ? "control tokens parsed, " : "plain text, ")
                  << difference(ids, expected) << " in " << testing::PrintToString(text.substr(0, 200));
  }
  EXPECT_GE(of_class.size(), 20U);
  for (const auto& [name, count] : of_class) EXPECT_GE(count, 500) << name;
}

TEST_P(GeneratedStrings, ComeBackFromTheirIds) {
  for (std::size_t row = 0; row < fixture_.row_count("text"); row += 7) {
    std::string expected(unescape_spaces(fixture_.text_row("text", row)));
    std::string bytes;
    for (const auto id : tokenizer_->encode(expected, SpecialText::plain)) {
      bytes += tokenizer_->token_bytes(id);
    }
    ASSERT_EQ(bytes, expected) << "row " << row;
  }
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, GeneratedStrings,
                         testing::Values("gemma3_small", "gemma3_large", "gemma4_small", "gemma4_large"),
                         [](const auto& vocabulary) { return vocabulary.param; });

TEST(LargeVocabularies, HaveTheRealSize) {
  for (const auto* family : {"gemma3", "gemma4"}) {
    const auto path =
        std::filesystem::path(TANDEM_BINARY_DIR) / "strings" / (std::string(family) + "_large.gguf");
    EXPECT_EQ(Tokenizer::from_header(read_header(path))->size(), 262'144U);
  }
}

}  // namespace
}  // namespace tandem::model
