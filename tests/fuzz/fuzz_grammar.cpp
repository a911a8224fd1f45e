#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/gbnf.h"
#include "model/grammar_matcher.h"
#include "model/json_schema_grammar.h"
#include "model/ordered_json.h"

namespace {

using namespace tandem::model;

constexpr TokenId kEnd = 258;

/// A token for each byte, two longer ones and an end token.
const TokenTrie& trie() {
  static const TokenTrie kTrie = [] {
    static std::array<char, 256> bytes{};
    std::vector<std::string_view> tokens;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<char>(i);
      tokens.emplace_back(&bytes[i], 1);
    }
    tokens.insert(tokens.end(), {"\":", "ab", ""});
    return TokenTrie(tokens, {kEnd});
  }();
  return kTrie;
}

std::vector<GrammarRule> read(std::string_view text, bool as_schema) {
  if (!as_schema) return read_gbnf(text);
  const auto schema = tandem::OrderedJson::parse(text, nullptr, false);
  return schema.is_discarded() ? std::vector<GrammarRule>() : json_schema_grammar(schema);
}

/// Writes what chance allows; a grammar that leads to a dead end ends the process.
void write(const std::shared_ptr<GrammarMasks>& masks, std::uint32_t chance) {
  GrammarMatcher matcher(masks);
  for (int i = 0; i < 50; ++i) {
    const auto& allowed = matcher.allowed();
    if (allowed.size() == 0 || allowed.contains(kEnd) != matcher.may_end()) std::abort();
    chance = chance * 1'664'525 + 1'013'904'223;
    auto token = static_cast<TokenId>((chance >> 8) % (kEnd + 1));
    while (!allowed.contains(token)) token = (token + 1) % (kEnd + 1);
    if (!matcher.accept(token)) std::abort();
    if (token == kEnd) return;
  }
}

}  // namespace

/// libFuzzer's entry: the first byte says whether a JSON schema or a grammar follows; it is refused by
/// GrammarError or can be written.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0 || size > 2000) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  try {
    const auto grammar = std::make_shared<const Grammar>(read(text, data[0] % 2 == 1), "root");
    if (grammar->node_count() > 2000) return 0;  // for speed
    write(std::make_shared<GrammarMasks>(grammar, trie()), data[0]);
  } catch (const GrammarError&) {
  }
  return 0;
}
