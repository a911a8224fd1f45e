#include "model/rank_tokenizer.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/error.h"

namespace tandem::model {
namespace {

constexpr std::string_view kMergesKey = "tokenizer.ggml.merges";

struct NamedMerge {
  TokenId left;
  TokenId right;
  Merge merge;
};

/// Reads line `rank`, "LEFT RIGHT".  Tokens hold no spaces, but a first byte that is one belongs to LEFT.
NamedMerge parse_merge(const Header& header, std::string_view line, std::uint32_t rank,
                       const Vocabulary& vocabulary, std::string& joined) {
  const auto space = line.find(' ', 1);
  const auto left = line.substr(0, space);
  const auto right = space == std::string_view::npos ? std::string_view() : line.substr(space + 1);
  joined.assign(left).append(right);
  const NamedMerge merge{
      vocabulary.find(left), vocabulary.find(right), {rank, vocabulary.find_mergeable(joined)}};
  if (right.empty() || merge.left == kNoToken || merge.right == kNoToken || merge.merge.token == kNoToken) {
    throw BadModel(header.name, header.find(kMergesKey)->offset_bytes, std::string(kMergesKey),
                   "merge " + std::to_string(rank) + " is not two tokens that make a third");
  }
  return merge;
}

std::vector<NamedMerge> read_merges(const Header& header, const Vocabulary& vocabulary) {
  const auto lines = header.find_strings(kMergesKey);
  if (!lines) throw BadModel(header.name, 0, std::string(kMergesKey), "missing: it decides what is merged");
  std::vector<NamedMerge> merges;
  merges.reserve(lines->size());
  std::string joined;
  for (std::uint32_t rank = 0; rank < lines->size(); ++rank) {
    merges.push_back(parse_merge(header, (*lines)[rank], rank, vocabulary, joined));
  }
  std::ranges::sort(merges, [](const NamedMerge& a, const NamedMerge& b) {
    if (a.left != b.left) return a.left < b.left;
    return a.right != b.right ? a.right < b.right : a.merge.rank < b.merge.rank;
  });
  return merges;
}

}  // namespace

RankTokenizer::RankTokenizer(const Header& header, Vocabulary vocabulary, TokenRoles roles)
    : Tokenizer(std::move(vocabulary), std::move(roles)) {
  const auto merges = read_merges(header, this->vocabulary());
  first_.assign(std::size_t{size()} + 1, 0);
  merges_.reserve(merges.size());
  for (const auto& merge : merges) {
    ++first_[static_cast<std::size_t>(merge.left) + 1];
    merges_.push_back({merge.right, merge.merge});
  }
  for (std::size_t id = 1; id < first_.size(); ++id) first_[id] += first_[id - 1];
}

Merge RankTokenizer::find_merge(TokenId left, TokenId right) const noexcept {
  if (left == kNoToken || right == kNoToken) return {};
  const auto begin = merges_.begin() + first_[static_cast<std::size_t>(left)];
  const auto end = merges_.begin() + first_[static_cast<std::size_t>(left) + 1];
  const auto entry = std::ranges::lower_bound(begin, end, right, {}, &Entry::right);
  return entry != end && entry->right == right ? entry->merge : Merge{};
}

void RankTokenizer::encode_fragment(std::string_view escaped, std::vector<TokenId>& ids) const {
  const auto& tokens = vocabulary();
  PairMerger merger;
  const auto token_of = [&](std::string_view character) { return tokens.find_mergeable(character); };
  const auto merge_of = [&](const Symbol& left, const Symbol& right) {
    return find_merge(left.token, right.token);
  };
  const auto emit = [&](const Symbol& symbol) {
    if (symbol.token == kNoToken) return tokens.append_bytes(symbol.text, ids);
    ids.push_back(symbol.token);
  };
  while (!escaped.empty()) {
    const bool newlines = escaped[0] == '\n';
    const auto run = escaped.substr(0, newlines ? escaped.find_first_not_of('\n') : escaped.find('\n'));
    escaped.remove_prefix(run.size());
    const auto whole = newlines ? tokens.find_mergeable(run) : kNoToken;
    if (whole != kNoToken) {
      ids.push_back(whole);
    } else {
      merger.run(run, token_of, merge_of, emit);
    }
  }
}

}  // namespace tandem::model
