#include "model/special_matcher.h"

#include <algorithm>
#include <iterator>
#include <queue>

namespace tandem::model {
namespace {

/// Orders matches by who takes its place later: a heap of them yields the order of the rule.
struct TakenLater {
  bool operator()(const SpecialMatch& a, const SpecialMatch& b) const noexcept {
    if (a.bytes != b.bytes) return a.bytes < b.bytes;
    if (a.token != b.token) return a.token > b.token;
    return a.begin > b.begin;
  }
};

std::uint8_t byte_at(std::string_view text, std::size_t at) noexcept {
  return static_cast<std::uint8_t>(text[at]);
}

}  // namespace

SpecialMatcher::SpecialMatcher(std::vector<Token> tokens) : tokens_(std::move(tokens)) {
  std::erase_if(tokens_, [](const Token& token) { return token.text.empty(); });
  std::ranges::sort(tokens_, [](const Token& a, const Token& b) {
    return a.text != b.text ? a.text < b.text : a.id < b.id;
  });
  const auto same_text = [](const Token& a, const Token& b) { return a.text == b.text; };
  tokens_.erase(std::unique(tokens_.begin(), tokens_.end(), same_text), tokens_.end());
  for (const auto& token : tokens_) ++first_byte_[byte_at(token.text, 0) + std::size_t{1}];
  for (std::size_t byte = 1; byte < first_byte_.size(); ++byte) first_byte_[byte] += first_byte_[byte - 1];
}

SpecialMatch SpecialMatcher::longest_at_front(std::string_view text) const noexcept {
  const auto front = byte_at(text, 0);
  auto begin = tokens_.begin() + first_byte_[front];
  auto end = tokens_.begin() + first_byte_[front + std::size_t{1}];
  SpecialMatch match;
  // [begin, end) are the tokens whose first `depth` bytes are those of the text.
  for (std::size_t depth = 1; begin != end; ++depth) {
    if (begin->text.size() == depth) {
      match = {0, depth, begin->id};
      ++begin;
    }
    if (begin == end || depth == text.size()) break;
    const auto byte = byte_at(text, depth);
    if (byte_at(begin->text, depth) == byte && byte_at(std::prev(end)->text, depth) == byte) continue;
    begin = std::partition_point(begin, end, [&](const Token& t) { return byte_at(t.text, depth) < byte; });
    end = std::partition_point(begin, end, [&](const Token& t) { return byte_at(t.text, depth) == byte; });
  }
  return match;
}

std::vector<SpecialMatch> SpecialMatcher::find_all(std::string_view text) const {
  // One candidate a place, the longest.  A shorter one comes up only when that did not fit.
  std::vector<SpecialMatch> candidates;
  for (std::size_t at = 0; at < text.size(); ++at) {
    auto match = longest_at_front(text.substr(at));
    match.begin = at;
    if (match.token != kNoToken) candidates.push_back(match);
  }
  std::vector<SpecialMatch> taken;
  if (candidates.empty()) return taken;

  std::vector<bool> covered(text.size(), false);
  std::priority_queue queue(TakenLater{}, std::move(candidates));
  while (!queue.empty()) {
    auto match = queue.top();
    queue.pop();
    if (covered[match.begin]) continue;
    // What is taken is at least as long as this one: if it is in the way, it is at one of the two ends.
    auto room = match.bytes;
    while (covered[match.begin + room - 1]) --room;
    if (room == match.bytes) {
      std::fill_n(covered.begin() + static_cast<std::ptrdiff_t>(match.begin), match.bytes, true);
      taken.push_back(match);
      continue;
    }
    auto shorter = longest_at_front(text.substr(match.begin, room));
    shorter.begin = match.begin;
    if (shorter.token != kNoToken) queue.push(shorter);
  }
  std::ranges::sort(taken, {}, &SpecialMatch::begin);
  return taken;
}

}  // namespace tandem::model
