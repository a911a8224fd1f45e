#include "model/score_tokenizer.h"

#include <bit>
#include <cmath>
#include <string>
#include <unordered_map>
#include <utility>

#include "model/error.h"
#include "model/pair_merger.h"

namespace tandem::model {
namespace {

/// Orders as the scores do, highest first; equal scores have equal ranks.
std::uint32_t rank_of(float score) noexcept {
  constexpr std::uint32_t kSign = 0x8000'0000U;
  const auto bits = std::bit_cast<std::uint32_t>(score + 0.0F);  // -0 becomes 0
  const auto ascending = (bits & kSign) != 0 ? ~bits : bits | kSign;
  return ~ascending;
}

/// How texts of unused tokens came about: merging goes through them, but they are never a result (as in
/// SentencePiece).
using Halves = std::unordered_map<std::string_view, std::pair<std::string_view, std::string_view>>;

/// Appends the tokens of a symbol that merging left over.
void append(std::string_view text, const Vocabulary& vocabulary, const Halves& halves,
            std::vector<TokenId>& ids) {
  const auto id = vocabulary.find_mergeable(text);
  if (id != kNoToken && vocabulary.kind(id) != TokenKind::unused) return ids.push_back(id);
  const auto split = halves.find(text);
  if (split == halves.end()) return vocabulary.append_bytes(text, ids);
  append(split->second.first, vocabulary, halves, ids);
  append(split->second.second, vocabulary, halves, ids);
}

}  // namespace

ScoreTokenizer::ScoreTokenizer(const Header& header, Vocabulary vocabulary, TokenRoles roles)
    : Tokenizer(std::move(vocabulary), std::move(roles)) {
  constexpr std::string_view kKey = "tokenizer.ggml.scores";
  const auto scores = header.find_numbers(kKey);
  if (!scores) throw BadModel(header.name, 0, std::string(kKey), "missing: it decides what is merged");
  if (scores->size() != size()) {
    throw BadModel(header.name, header.find(kKey)->offset_bytes, std::string(kKey),
                   std::to_string(scores->size()) + " scores for " + std::to_string(size()) + " tokens");
  }
  ranks_.reserve(scores->size());
  for (const auto score : *scores) {
    if (std::isnan(score)) {
      throw BadModel(header.name, header.find(kKey)->offset_bytes, std::string(kKey),
                     "score of token " + std::to_string(ranks_.size()) + " is not a number");
    }
    ranks_.push_back(rank_of(static_cast<float>(score)));
  }
}

void ScoreTokenizer::encode_fragment(std::string_view escaped, std::vector<TokenId>& ids) const {
  const auto& tokens = vocabulary();
  Halves halves;
  const auto token_of = [&](std::string_view character) { return tokens.find_mergeable(character); };
  const auto merge_of = [&](const Symbol& left, const Symbol& right) -> Merge {
    const std::string_view both(left.text.data(), left.text.size() + right.text.size());
    const auto id = tokens.find_mergeable(both);
    if (id == kNoToken) return {};
    if (tokens.kind(id) == TokenKind::unused) halves[both] = {left.text, right.text};
    return {ranks_[static_cast<std::size_t>(id)], id};
  };
  PairMerger().run(escaped, token_of, merge_of,
                   [&](const Symbol& symbol) { append(symbol.text, tokens, halves, ids); });
}

}  // namespace tandem::model
