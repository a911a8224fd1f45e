#include "model/token_trie.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "model/answer_parser.h"

namespace tandem::model {
namespace {

constexpr std::size_t kLongestToken_bytes = 1024;  // longer ones are left out

constexpr std::pair<Marker, std::string_view> kCallBytes[] = {
    {Marker::call_begin, kCallBeginByte}, {Marker::call_end, kCallEndByte}, {Marker::quote, kQuoteByte}};

bool is_markup(std::string_view text) {
  return text.size() > 2 && (text.starts_with("<|") || text.ends_with("|>"));
}

bool may_be_in_an_answer(const Tokenizer& tokenizer, TokenId id) {
  const auto kind = tokenizer.kind(id);
  if (kind == TokenKind::normal || kind == TokenKind::byte) return true;
  return kind == TokenKind::user_defined && !is_markup(tokenizer.token_text(id));
}

std::vector<std::string_view> bytes_of(const Tokenizer& tokenizer, CallMarkup calls) {
  std::vector<std::string_view> bytes(tokenizer.size());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const auto id = static_cast<TokenId>(i);
    const bool allowed = may_be_in_an_answer(tokenizer, id) && !tokenizer.ends_generation(id) &&
                         !std::ranges::binary_search(tokenizer.suppressed(), id);
    if (allowed) bytes[i] = tokenizer.token_bytes(id);
  }
  if (calls == CallMarkup::left_out) return bytes;
  for (const auto& [marker, byte] : kCallBytes) {
    std::ranges::replace(bytes, byte, std::string_view());  // byte tokens, which no text needs
    if (const auto id = tokenizer.find(text_of(marker))) bytes[static_cast<std::size_t>(*id)] = byte;
  }
  return bytes;
}

std::vector<TokenId> end_tokens_of(const Tokenizer& tokenizer) {
  std::vector<TokenId> ids;
  for (TokenId id = 0; id < static_cast<TokenId>(tokenizer.size()); ++id) {
    if (tokenizer.ends_generation(id)) ids.push_back(id);
  }
  return ids;
}

std::size_t common_prefix(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
}

}  // namespace

TokenTrie::TokenTrie(const Tokenizer& tokenizer, CallMarkup calls)
    : bytes_(bytes_of(tokenizer, calls)), end_tokens_(end_tokens_of(tokenizer)) {
  build();
}

TokenTrie::TokenTrie(std::span<const std::string_view> bytes, std::vector<TokenId> end_tokens)
    : bytes_(bytes.begin(), bytes.end()), end_tokens_(std::move(end_tokens)) {
  build();
}

std::string_view TokenTrie::bytes(TokenId token) const noexcept {
  const auto index = static_cast<std::size_t>(token);
  return index < bytes_.size() ? bytes_[index] : std::string_view();
}

void TokenTrie::build() {
  for (auto& bytes : bytes_) {
    if (bytes.size() > kLongestToken_bytes) bytes = {};
  }
  tokens_.resize(bytes_.size());
  std::iota(tokens_.begin(), tokens_.end(), 0);
  std::erase_if(tokens_, [&](TokenId id) { return bytes(id).empty(); });
  std::ranges::stable_sort(tokens_, {}, [&](TokenId id) { return bytes(id); });

  nodes_ = {Node{}};
  std::vector<std::uint32_t> path = {0};  // from the root to the node of the token before
  std::string_view before;
  const auto close_below = [&](std::size_t depth) {
    for (; path.size() > depth + 1; path.pop_back()) {
      nodes_[path.back()].end = static_cast<std::uint32_t>(nodes_.size());
    }
  };
  for (std::uint32_t i = 0; i < tokens_.size(); ++i) {
    const auto text = bytes(tokens_[i]);
    const auto shared = common_prefix(before, text);
    close_below(shared);
    for (auto depth = shared; depth < text.size(); ++depth) {
      path.push_back(static_cast<std::uint32_t>(nodes_.size()));
      nodes_.push_back({0, i, static_cast<std::uint16_t>(depth + 1), static_cast<std::uint8_t>(text[depth])});
    }
    before = text;
  }
  close_below(0);
  const auto count = static_cast<std::uint32_t>(nodes_.size());
  nodes_[0].end = count;
  nodes_.push_back({count + 1, static_cast<std::uint32_t>(tokens_.size()), 0, 0});
}

}  // namespace tandem::model
