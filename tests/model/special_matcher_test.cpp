#include "model/special_matcher.h"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::model {
namespace {

using Token = SpecialMatcher::Token;
using Place = std::pair<std::size_t, TokenId>;  // where, which

std::vector<Place> places(const std::vector<SpecialMatch>& matches) {
  std::vector<Place> out;
  for (const auto& match : matches) out.emplace_back(match.begin, match.token);
  return out;
}

/// The rule word for word: token after token, longest first, splits every piece of text that is left.
std::vector<Place> split_one_by_one(std::string_view text, std::vector<Token> tokens) {
  std::ranges::stable_sort(tokens, [](const Token& a, const Token& b) {
    return a.text.size() != b.text.size() ? a.text.size() > b.text.size() : a.id < b.id;
  });
  std::vector<std::pair<std::size_t, std::string_view>> fragments = {{0, text}};
  std::vector<Place> out;
  for (const auto& token : tokens) {
    std::vector<std::pair<std::size_t, std::string_view>> left;
    for (auto [begin, fragment] : fragments) {
      for (auto at = fragment.find(token.text); at != std::string_view::npos;
           at = fragment.find(token.text)) {
        left.emplace_back(begin, fragment.substr(0, at));
        out.emplace_back(begin + at, token.id);
        begin += at + token.text.size();
        fragment.remove_prefix(at + token.text.size());
      }
      left.emplace_back(begin, fragment);
    }
    fragments = std::move(left);
  }
  std::ranges::sort(out);
  return out;
}

TEST(SpecialMatcher, AgreesWithSplittingTokenByToken) {
  std::mt19937 random(1);
  std::size_t found = 0;
  for (int round = 0; round < 5000; ++round) {
    const auto letters = 1 + random() % 3;
    const auto word = [&](std::size_t shortest, std::size_t longest) {
      std::string out(shortest + random() % (longest - shortest + 1), 'a');
      for (auto& c : out) c = static_cast<char>("a\xF0z"[random() % letters]);
      return out;
    };
    std::vector<std::string> texts(1 + random() % 8);
    for (auto& text : texts) text = word(1, 5);
    std::vector<Token> tokens;
    for (std::size_t i = 0; i < texts.size(); ++i) tokens.push_back({texts[i], static_cast<TokenId>(i)});
    const auto text = word(0, 40);
    const auto expected = split_one_by_one(text, tokens);
    ASSERT_EQ(places(SpecialMatcher(tokens).find_all(text)), expected) << text;
    found += expected.size();
  }
  EXPECT_GT(found, 10000U);
}

TEST(SpecialMatcher, LongerTokensGoFirstEvenIfTheyBeginLater) {
  const SpecialMatcher matcher({{"ab", 1}, {"bcd", 2}, {"a", 3}});
  EXPECT_THAT(places(matcher.find_all("abcd ab")),
              testing::ElementsAre(Place{0, 3}, Place{1, 2}, Place{5, 1}));
}

TEST(SpecialMatcher, EmptyTextsNeverMatch) {
  const SpecialMatcher matcher({{"", 1}});
  EXPECT_TRUE(matcher.find_all("text").empty());
  EXPECT_TRUE(matcher.find_all("").empty());
}

TEST(SpecialMatcher, ThousandsOfTokensAndALongTextAreNoTrouble) {
  std::vector<std::string> texts;
  for (int i = 0; i < 6000; ++i) texts.push_back("<unused" + std::to_string(i) + ">");
  for (std::size_t n = 2; n <= 31; ++n) texts.emplace_back(n, ' ');
  std::vector<Token> tokens;
  for (std::size_t i = 0; i < texts.size(); ++i) tokens.push_back({texts[i], static_cast<TokenId>(i)});
  const SpecialMatcher matcher(tokens);
  const auto matches = matcher.find_all(std::string(1'000'000, ' ') + "<unused5999>");
  // 32,258 runs of 31 spaces leave 2, then the last token.
  ASSERT_EQ(matches.size(), 32'258U + 1U + 1U);
  EXPECT_EQ(matches[32'258].bytes, 2U);
  EXPECT_EQ(matches.back().token, 5999);
}

}  // namespace
}  // namespace tandem::model
