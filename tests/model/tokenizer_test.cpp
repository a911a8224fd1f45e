#include "model/tokenizer.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

using test_support::Fixture;
using test_support::reference_path;
using testing::ElementsAreArray;

/// Ids that SentencePiece (Gemma 3) and Hugging Face tokenizers (Gemma 4) give.
class ReferenceIds : public testing::TestWithParam<std::string> {};

TEST_P(ReferenceIds, MatchForEveryText) {
  const auto fixture = Fixture::load(reference_path(GetParam() + "_tokenizer.fixture"));
  const auto tokenizer = Tokenizer::from_header(read_header(reference_path(GetParam() + "_vocab.gguf")));
  const auto rows = fixture.row_count("text");
  ASSERT_GT(rows, 1000U);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto text = fixture.text_row("text", row);
    EXPECT_THAT(tokenizer->encode(text, SpecialText::parsed), ElementsAreArray(fixture.i32_row("ids", row)))
        << text;
    EXPECT_THAT(tokenizer->encode(text, SpecialText::plain),
                ElementsAreArray(fixture.i32_row("ids_plain", row)))
        << text;
  }
}

INSTANTIATE_TEST_SUITE_P(Families, ReferenceIds, testing::Values("gemma3", "gemma4"),
                         [](const auto& family) { return family.param; });

}  // namespace
}  // namespace tandem::model
