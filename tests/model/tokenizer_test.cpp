#include "model/tokenizer.h"

#include <limits>
#include <random>
#include <span>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/small_vocabularies.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

using test_support::Fixture;
using test_support::key_array;
using test_support::key_u32;
using test_support::le;
using test_support::reference_path;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

std::string decoded(const Tokenizer& tokenizer, std::span<const TokenId> ids) {
  std::string bytes;
  for (const auto id : ids) bytes += tokenizer.token_bytes(id);
  return bytes;
}

/// Both families, by the name of their fixture.
class BothFamilies : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Tokenizer> tokenizer_ =
      Tokenizer::from_header(read_header(reference_path(GetParam() + "_vocab.gguf")));
};

/// The ids are those of SentencePiece (Gemma 3) and of Hugging Face tokenizers (Gemma 4).
TEST_P(BothFamilies, GiveTheReferenceIdsForEveryText) {
  const auto fixture = Fixture::load(reference_path(GetParam() + "_tokenizer.fixture"));
  const auto rows = fixture.row_count("text");
  ASSERT_GT(rows, 1000U);
  for (std::size_t row = 0; row < rows; ++row) {
    const auto text = fixture.text_row("text", row);
    EXPECT_THAT(tokenizer_->encode(text, SpecialText::parsed), ElementsAreArray(fixture.i32_row("ids", row)))
        << text;
    EXPECT_THAT(tokenizer_->encode(text, SpecialText::plain),
                ElementsAreArray(fixture.i32_row("ids_plain", row)))
        << text;
  }
}

TEST_P(BothFamilies, NoTextHasFewerTokensThanItsBytesSay) {
  const auto fixture = Fixture::load(reference_path(GetParam() + "_tokenizer.fixture"));
  for (std::size_t row = 0; row < fixture.row_count("text"); ++row) {
    const auto text = fixture.text_row("text", row);
    EXPECT_LE(tokenizer_->least_tokens(text.size()), fixture.i32_row("ids", row).size()) << text;
  }
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer_->size()); ++id) {
    EXPECT_LE(tokenizer_->least_tokens(tokenizer_->token_text(id).size()), 1U);
    EXPECT_LE(tokenizer_->least_tokens(tokenizer_->token_bytes(id).size()), 1U);
  }
  EXPECT_GT(tokenizer_->least_tokens(1 << 20), 1000U);
}

TEST_P(BothFamilies, RandomBytesComeBackAsTheyWere) {
  std::mt19937 random(1);
  for (int round = 0; round < 3000; ++round) {
    std::string bytes(random() % 60, '\0');
    const auto range = round % 2 == 0 ? 256U : 128U;
    for (auto& byte : bytes) byte = static_cast<char>(random() % range);
    EXPECT_EQ(decoded(*tokenizer_, tokenizer_->encode(bytes, SpecialText::plain)), bytes)
        << testing::PrintToString(bytes);
  }
}

TEST_P(BothFamilies, EveryTokenComesBackFromItsOwnText) {
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer_->size()); ++id) {
    const auto bytes = std::string(tokenizer_->token_bytes(id));
    EXPECT_EQ(decoded(*tokenizer_, tokenizer_->encode(bytes, SpecialText::plain)), bytes) << id;
    EXPECT_EQ(tokenizer_->find(tokenizer_->token_text(id)), id);
  }
}

/// Only an algorithm that is not quadratic ends these within the test's time limit.
TEST_P(BothFamilies, LongLinesWithoutABreak) {
  for (const std::string part : {"a", " ", "\n", "the ", "ab", "漢", "\xFF", "<"}) {
    std::string text;
    while (text.size() < 1'000'000) text += part;
    EXPECT_EQ(decoded(*tokenizer_, tokenizer_->encode(text, SpecialText::parsed)), text) << part;
  }
}

TEST_P(BothFamilies, BytesThatAreNotUtf8StandAlone) {
  const auto byte = [&](std::string_view text) { return tokenizer_->find(text).value(); };
  const auto a = tokenizer_->find("a").value();
  EXPECT_THAT(tokenizer_->encode("a\xE2\x82", SpecialText::plain),
              ElementsAre(a, byte("<0xE2>"), byte("<0x82>")));
  EXPECT_THAT(tokenizer_->encode("\xC0\x80"
                                 "a\xED\xA0\x80",
                                 SpecialText::plain),
              ElementsAre(byte("<0xC0>"), byte("<0x80>"), a, byte("<0xED>"), byte("<0xA0>"), byte("<0x80>")));
}

TEST_P(BothFamilies, PromptsBeginWithOneBos) {
  const auto bos = tokenizer_->bos().value();
  EXPECT_EQ(tokenizer_->token_text(bos), "<bos>");
  EXPECT_THAT(tokenizer_->encode_prompt("", SpecialText::parsed), ElementsAre(bos));
  const auto a = tokenizer_->encode_prompt("a", SpecialText::parsed);
  EXPECT_THAT(a, ElementsAre(bos, tokenizer_->find("a").value()));
  EXPECT_EQ(tokenizer_->encode_prompt("<bos>a", SpecialText::parsed), a);
  const auto spelt = tokenizer_->encode_prompt("<bos>a", SpecialText::plain);
  EXPECT_EQ(spelt.front(), bos);
  EXPECT_GT(spelt.size(), a.size()) << "its letters are text";
}

INSTANTIATE_TEST_SUITE_P(Tokenizer, BothFamilies, testing::Values("gemma3", "gemma4"),
                         [](const auto& family) { return family.param; });

TEST(TokenRoles, EndTokensAreFoundByTextAndSlashSNeverEnds) {
  VocabularyFile file = small_rank_file();
  const auto first = static_cast<TokenId>(file.texts.size());
  file.add("<eos>", Kind::control).add("</s>", Kind::control).add("<turn|>", Kind::normal);
  file.add("<|tool_response>", Kind::user_defined).add("stop").add("end");
  const auto id = [&](TokenId n) { return static_cast<std::uint32_t>(first + n); };
  file.more_keys = {key_u32("tokenizer.ggml.eos_token_id", id(1)),
                    key_u32("tokenizer.ggml.eot_token_id", id(4)),
                    key_array("tokenizer.ggml.eos_token_ids", 4, 3, le(id(5)) + le(id(1)) + le(9999U))};
  const auto tokenizer = Tokenizer::from_header(file.header());
  EXPECT_TRUE(tokenizer->ends_generation(first));       // <eos>
  EXPECT_FALSE(tokenizer->ends_generation(first + 1));  // </s>
  EXPECT_TRUE(tokenizer->ends_generation(first + 2));   // <turn|>
  EXPECT_TRUE(tokenizer->ends_generation(first + 3));   // <|tool_response>
  EXPECT_TRUE(tokenizer->ends_generation(first + 4));   // eot_token_id
  EXPECT_TRUE(tokenizer->ends_generation(first + 5));   // eos_token_ids
  EXPECT_FALSE(tokenizer->ends_generation(0));
  EXPECT_FALSE(tokenizer->ends_generation(9999));
  EXPECT_FALSE(tokenizer->ends_generation(-1));
}

TEST(TokenRoles, MistypedTurnMarkersAreControlTokens) {
  auto file = small_score_file();
  file.add("<start_of_turn>", Kind::normal).add("<end_of_turn>", Kind::user_defined);
  const auto tokenizer = Tokenizer::from_header(file.header());
  EXPECT_THAT(tokenizer->encode("<start_of_turn>a<end_of_turn>", SpecialText::parsed),
              ElementsAre(260, 257, 261));
  EXPECT_GT(tokenizer->encode("<start_of_turn>", SpecialText::plain).size(), 1U);
  EXPECT_EQ(tokenizer->kind(260), TokenKind::control);
  EXPECT_EQ(tokenizer->token_bytes(261), "");
}

TEST(TokenRoles, SuppressedTokensAreTheFilesOwnOrMediaMarkers) {
  auto file = small_rank_file();
  const auto first = static_cast<TokenId>(file.texts.size());
  file.add("<|image|>", Kind::control).add("<audio|>", Kind::control);
  EXPECT_THAT(Tokenizer::from_header(file.header())->suppressed(), ElementsAre(first, first + 1));
  file.more_keys = {key_array("tokenizer.ggml.suppress_tokens", 5, 4, le(7) + le(3) + le(-1) + le(258'883))};
  EXPECT_THAT(Tokenizer::from_header(file.header())->suppressed(), ElementsAre(3, 7));
  EXPECT_THAT(Tokenizer::from_header(small_score_file().header())->suppressed(), IsEmpty());
}

TEST(TokenRoles, BosIsTheStoredIdOrFoundByText) {
  auto file = small_rank_file();
  EXPECT_EQ(Tokenizer::from_header(file.header())->bos(), 0);
  file.more_keys = {key_u32("tokenizer.ggml.bos_token_id", 5)};
  EXPECT_EQ(Tokenizer::from_header(file.header())->bos(), 5);
  file.more_keys = {key_u32("tokenizer.ggml.bos_token_id", 100'000)};
  EXPECT_EQ(Tokenizer::from_header(file.header())->bos(), 0);
}

TEST(Tokenizer, IdsOutOfRangeHaveNoTextAndNoMeaning) {
  const auto tokenizer = Tokenizer::from_header(small_rank_file().header());
  for (const TokenId id :
       {-1, static_cast<TokenId>(tokenizer->size()), std::numeric_limits<TokenId>::max()}) {
    EXPECT_EQ(tokenizer->token_text(id), "");
    EXPECT_EQ(tokenizer->token_bytes(id), "");
    EXPECT_EQ(tokenizer->kind(id), TokenKind::unknown);
  }
  EXPECT_EQ(tokenizer->find("not there"), std::nullopt);
}

TEST(Tokenizer, OutlivesTheHeaderItWasMadeFrom) {
  std::unique_ptr<Tokenizer> tokenizer;
  {
    const auto header = small_rank_file().header();
    tokenizer = Tokenizer::from_header(header);
  }
  EXPECT_THAT(texts(*tokenizer, "abab"), ElementsAre("ab", "ab"));
}

}  // namespace
}  // namespace tandem::model
