// An answer's way from tokens to the client: the detokenizer, then the stop strings.

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/detokenizer.h"
#include "model/stop_matcher.h"
#include "model/utf8.h"
#include "tests/model/whole_text.h"
#include "tests/support/fixture.h"
#include "tests/support/vocabulary_file.h"

namespace tandem::model {
namespace {

using test_support::Fixture;
using test_support::reference_path;
using test_support::VocabularyFile;

/// Makes tokens of bytes, each with a text of its own.
class Cutter {
 public:
  explicit Cutter(std::mt19937& random) : random_(random) {}

  /// `bytes` as tokens of one to five bytes each.
  std::vector<TokenId> cut(std::string_view bytes) {
    std::vector<TokenId> tokens;
    while (!bytes.empty()) {
      const auto n = std::min<std::size_t>(bytes.size(), 1 + random_() % 5);
      tokens.push_back(static_cast<TokenId>(file_.texts.size()));
      file_.add(bytes.substr(0, n));
      bytes.remove_prefix(n);
    }
    return tokens;
  }
  [[nodiscard]] std::unique_ptr<Tokenizer> tokenizer() const {
    return Tokenizer::from_header(file_.header());
  }

 private:
  std::mt19937& random_;
  VocabularyFile file_ = VocabularyFile().add("<unk>", VocabularyFile::unknown);
};

/// Whole characters from somewhere in `text`.
std::string some_of(std::string_view text, std::mt19937& random) {
  std::vector<std::string_view> characters;
  while (!text.empty()) {
    characters.push_back(text.substr(0, utf8_front(text).bytes));
    text.remove_prefix(characters.back().size());
  }
  std::string some;
  if (characters.empty()) return some;
  const auto begin = random() % characters.size();
  const auto end = std::min(characters.size(), begin + 1 + random() % 4);
  for (auto i = begin; i < end; ++i) some += characters[i];
  return some;
}

/// `text` up to the stop string that is complete first, the longest of several.
std::string until_stop(const std::string& text, const std::vector<std::string>& stops) {
  auto end = std::string::npos;
  auto begin = text.size();
  for (const auto& stop : stops) {
    const auto at = stop.empty() ? std::string::npos : text.find(stop);
    if (at == std::string::npos) continue;
    if (at + stop.size() > end || (at + stop.size() == end && at > begin)) continue;
    end = at + stop.size();
    begin = at;
  }
  return text.substr(0, begin);
}

/// What a client gets, piece by piece.
std::string streamed(const std::vector<TokenId>& tokens, const Tokenizer& tokenizer,
                     const std::vector<std::string>& stops) {
  Detokenizer detokenizer(tokenizer);
  StopMatcher matcher(stops);
  std::string all;
  const auto emit = [&](const std::string& piece) {
    EXPECT_TRUE(is_whole(piece)) << testing::PrintToString(piece);
    all += piece;
  };
  for (const auto token : tokens) emit(matcher.push(detokenizer.push(token)));
  emit(matcher.push(detokenizer.finish()));
  emit(matcher.finish());
  return all;
}

TEST(StreamedText, IsTheSameHoweverBytesAreCutIntoTokens) {
  const auto fixture = Fixture::load(reference_path("utf8.fixture"));
  std::mt19937 random(1);
  std::size_t stopped = 0;
  for (std::size_t row = 0; row < fixture.row_count("bytes"); ++row) {
    const std::string text(fixture.text_row("text", row));  // Python's, of the bytes
    std::vector<std::string> stops;
    for (auto n = random() % 3; n > 0; --n)
      stops.push_back(some_of(text, random) + (random() % 2 == 0 ? "" : "!"));
    Cutter cutter(random);
    std::vector<std::vector<TokenId>> cuts(8);
    for (auto& tokens : cuts) tokens = cutter.cut(fixture.text_row("bytes", row));
    const auto tokenizer = cutter.tokenizer();
    const auto expected = until_stop(text, stops);
    for (const auto& tokens : cuts) ASSERT_EQ(streamed(tokens, *tokenizer, stops), expected) << "row " << row;
    if (expected != text) ++stopped;
  }
  EXPECT_GT(stopped, 100U);
  EXPECT_LT(stopped, fixture.row_count("bytes") - 100);
}

}  // namespace
}  // namespace tandem::model
