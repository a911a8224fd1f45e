#include "model/token_trie.h"

#include <algorithm>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

/// Every token with its path in the tree, walked by the nodes' own account of where they end.
std::vector<std::pair<std::string, TokenId>> read_back(const TokenTrie& trie) {
  std::vector<std::pair<std::string, TokenId>> tokens;
  std::string path;
  const auto nodes = trie.nodes();
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    if (i > 0) {
      path.resize(nodes[i].depth - std::size_t{1});
      path += static_cast<char>(nodes[i].byte);
    }
    for (const auto token : trie.tokens(i)) tokens.emplace_back(path, token);
  }
  return tokens;
}

TEST(TokenTrie, HoldsEveryTokenOnceByItsBytes) {
  std::mt19937 random(5);
  std::vector<std::string> texts;
  for (int i = 0; i < 5000; ++i) {
    std::string text;
    for (auto left = random() % 6; left > 0; --left)
      text += static_cast<char>(random() % 3 == 0 ? random() % 256 : 'a');
    texts.push_back(text);
  }
  const TokenTrie trie(std::vector<std::string_view>(texts.begin(), texts.end()), {});
  std::vector<std::pair<std::string, TokenId>> expected;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    EXPECT_EQ(trie.bytes(static_cast<TokenId>(i)), texts[i]);
    if (!texts[i].empty()) expected.emplace_back(texts[i], static_cast<TokenId>(i));
  }
  std::ranges::sort(expected);
  EXPECT_EQ(read_back(trie), expected);
}

TEST(TokenTrie, NodesEndWhereTheirPathsEnd) {
  const std::vector<std::string_view> texts = {"ab", "abc", "b", "abd", "bcd"};
  const TokenTrie trie(texts, {});
  const auto nodes = trie.nodes();
  for (std::uint32_t i = 0; i < nodes.size(); ++i) {
    auto below = i + 1;
    while (below < nodes.size() && nodes[below].depth > nodes[i].depth) ++below;
    EXPECT_EQ(nodes[i].end, below) << i;
  }
  std::set<std::string> paths;
  for (const auto& [path, token] : read_back(trie)) paths.insert(path);
  EXPECT_EQ(paths.size(), 5U);
  EXPECT_EQ(nodes.size(), 1U + 4 + 3);  // the root, a ab abc abd, b bc bcd
}

TEST(TokenTrie, LeavesOutWhatIsNotForAnswers) {
  const auto tokenizer =
      Tokenizer::from_header(read_header(test_support::reference_path("gemma4_vocab.gguf")));
  const TokenTrie trie(*tokenizer);
  for (const auto* text :
       {"<bos>", "<|turn>", "<|tool_call>", "<tool_call|>", "<|\"|>", "<|channel>", "<eos>", "<unk>"}) {
    EXPECT_EQ(trie.bytes(tokenizer->find(text).value()), "") << text;
  }
  EXPECT_EQ(trie.bytes(tokenizer->find("<0x0A>").value()), "\n");
  EXPECT_EQ(trie.bytes(-1), "");
  EXPECT_EQ(trie.bytes(static_cast<TokenId>(tokenizer->size())), "");
  EXPECT_THAT(trie.end_tokens(), testing::Contains(tokenizer->find("<turn|>").value()));
  for (const auto& [path, token] : read_back(trie)) EXPECT_EQ(path, tokenizer->token_bytes(token));
}

TEST(TokenTrie, MayHaveCallMarkupAsBytesNoTextHas) {
  const auto tokenizer =
      Tokenizer::from_header(read_header(test_support::reference_path("gemma4_vocab.gguf")));
  const TokenTrie trie(*tokenizer, CallMarkup::as_bytes);
  EXPECT_EQ(trie.bytes(tokenizer->find("<|tool_call>").value()), "\xF8");
  EXPECT_EQ(trie.bytes(tokenizer->find("<tool_call|>").value()), "\xF9");
  EXPECT_EQ(trie.bytes(tokenizer->find("<|\"|>").value()), "\xFA");
  for (const auto* text : {"<|channel>", "<|tool_response>", "<0xF8>", "<0xF9>", "<0xFA>"}) {
    EXPECT_EQ(trie.bytes(tokenizer->find(text).value()), "") << text;
  }
}

TEST(TokenTrie, MayBeEmpty) {
  const TokenTrie trie(std::vector<std::string_view>{}, {});
  EXPECT_EQ(trie.nodes().size(), 1U);
  EXPECT_TRUE(trie.tokens(0).empty());
}

}  // namespace
}  // namespace tandem::model
