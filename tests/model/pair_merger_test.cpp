#include "model/pair_merger.h"

#include <map>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

using Text = std::string;
using Ranks = std::map<std::pair<Text, Text>, std::uint32_t>;

/// The definition: look at all pairs, merge the leftmost of lowest rank, start again.
std::vector<Text> merged_one_by_one(const Text& text, const Ranks& ranks) {
  std::vector<Text> parts;
  for (const char c : text) parts.emplace_back(1, c);
  while (true) {
    auto best = ranks.end();
    std::size_t place = 0;
    for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find({parts[i], parts[i + 1]});
      if (found == ranks.end() || (best != ranks.end() && best->second <= found->second)) continue;
      best = found;
      place = i;
    }
    if (best == ranks.end()) return parts;
    parts[place] += parts[place + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(place) + 1);
  }
}

std::vector<Text> merged(PairMerger& merger, const Text& text, const Ranks& ranks) {
  std::vector<Text> out;
  merger.run(
      text, [](std::string_view) { return TokenId{0}; },
      [&](const Symbol& left, const Symbol& right) -> Merge {
        const auto found = ranks.find({Text(left.text), Text(right.text)});
        return found != ranks.end() ? Merge{found->second, 0} : Merge{};
      },
      [&](const Symbol& symbol) { out.emplace_back(symbol.text); });
  return out;
}

TEST(PairMerger, AgreesWithMergingOneByOne) {
  std::mt19937 random(1);
  PairMerger merger;
  std::size_t merges = 0;
  for (int round = 0; round < 3000; ++round) {
    const auto letters = 1 + random() % 3;
    const auto word = [&](std::size_t longest) {
      Text out(1 + random() % longest, 'a');
      for (auto& c : out) c = static_cast<char>('a' + random() % letters);
      return out;
    };
    Ranks ranks;
    for (auto n = random() % 20; n > 0; --n) {
      const auto left = word(3);
      const auto right = word(3);
      ranks.emplace(std::pair(left, right), static_cast<std::uint32_t>(random() % 8));  // with ties
    }
    const auto text = word(40);
    const auto expected = merged_one_by_one(text, ranks);
    ASSERT_EQ(merged(merger, text, ranks), expected) << text;
    merges += text.size() - expected.size();
  }
  EXPECT_GT(merges, 10000U);
}

/// Every proposal enters the heap once, and there are three a character at most: one for each pair at the
/// start, two for each merge.  So a line four times as long is four times the proposals, never sixteen.
TEST(PairMerger, LooksAtThreePairsACharacterAtMost) {
  std::mt19937 random(1);
  PairMerger merger;
  for (const std::string letters : {"a", "ab", "abcdefgh"}) {
    for (const std::size_t longest : {2U, 8U, 1'000'000U}) {
      for (const std::size_t n : {25'000U, 100'000U}) {
        Text line(n, 'a');
        for (auto& c : line) c = letters[random() % letters.size()];
        std::size_t looked_at = 0;
        std::size_t symbols = 0;
        merger.run(
            line, [](std::string_view) { return TokenId{0}; },
            [&](const Symbol& left, const Symbol& right) -> Merge {
              ++looked_at;
              const auto bytes = left.text.size() + right.text.size();
              const auto rank = static_cast<std::uint32_t>(bytes * 7919 + left.text[0]) % 1000;
              return bytes <= longest ? Merge{rank, 0} : Merge{};
            },
            [&](const Symbol&) { ++symbols; });
        EXPECT_LT(symbols, n * 2 / 3);
        EXPECT_GE(looked_at, n - 1);
        EXPECT_LE(looked_at, 3 * n) << letters << " " << longest;
      }
    }
  }
}

TEST(PairMerger, NothingComesOfNothing) {
  PairMerger merger;
  EXPECT_TRUE(merged(merger, "", {}).empty());
}

TEST(PairMerger, CharactersStayWholeAndBrokenBytesStandAlone) {
  PairMerger merger;
  std::vector<Text> parts;
  std::vector<TokenId> tokens;
  merger.run(
      "é漢\xE2\x82😀\xFF", [](std::string_view) { return TokenId{1}; },
      [](const Symbol&, const Symbol&) { return Merge{}; },
      [&](const Symbol& symbol) {
        parts.emplace_back(symbol.text);
        tokens.push_back(symbol.token);
      });
  EXPECT_EQ(parts, (std::vector<Text>{"é", "漢", "\xE2", "\x82", "😀", "\xFF"}));
  EXPECT_EQ(tokens, (std::vector<TokenId>{1, 1, kNoToken, kNoToken, 1, kNoToken}));
}

}  // namespace
}  // namespace tandem::model
