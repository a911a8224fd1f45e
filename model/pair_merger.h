#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "model/utf8.h"
#include "model/vocabulary.h"

namespace tandem::model {

/// A piece of text on its way to a token.
struct Symbol {
  std::string_view text;  ///< empty once it has been merged into its left neighbour
  TokenId token = kNoToken;
  std::uint32_t previous = 0;  ///< neighbours, as a linked list
  std::uint32_t next = 0;
};

/// What two neighbours become, and how urgently: the lowest rank goes first.  kNoToken: they do not merge.
struct Merge {
  std::uint32_t rank = 0;
  TokenId token = kNoToken;
};

/// Byte pair encoding as both families do it: of all adjacent pairs the one of lowest rank merges, the
/// leftmost of equals, until no pair can.  O(n log n).  One object serves many texts and keeps its buffers.
class PairMerger {
 public:
  /// Splits `text` (under 2^32 bytes, it outlives the result) into characters and merges them.  Bytes that
  /// are not well-formed UTF-8 stand alone.  token_of(std::string_view) gives a character's token or
  /// kNoToken, merge_of(const Symbol& left, const Symbol& right) what two neighbours become, and emit(const
  /// Symbol&) receives what is left, in order.
  template <typename TokenOf, typename MergeOf, typename Emit>
  void run(std::string_view text, const TokenOf& token_of, const MergeOf& merge_of, const Emit& emit);

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  /// A pair that could merge when it was proposed.
  struct Proposal {
    std::uint64_t order;  ///< rank, then place
    std::uint32_t bytes;  ///< of both together: tells whether they are still as they were
    TokenId token;

    [[nodiscard]] std::uint32_t left() const noexcept { return static_cast<std::uint32_t>(order); }
  };

  template <typename TokenOf>
  void split(std::string_view text, const TokenOf& token_of);

  /// The proposal for symbol `left` and its right neighbour, if they merge.
  template <typename MergeOf>
  bool propose(std::uint32_t left, const MergeOf& merge_of);

  /// Merges the pair unless one of the two has changed since.
  bool join(const Proposal& pair) noexcept;

  static bool later(const Proposal& a, const Proposal& b) noexcept { return a.order > b.order; }

  std::vector<Symbol> symbols_;
  std::vector<Proposal> heap_;
};

template <typename TokenOf, typename MergeOf, typename Emit>
void PairMerger::run(std::string_view text, const TokenOf& token_of, const MergeOf& merge_of,
                     const Emit& emit) {
  if (text.empty()) return;
  split(text, token_of);
  heap_.clear();
  for (std::uint32_t i = 0; i + 1 < symbols_.size(); ++i) propose(i, merge_of);
  std::make_heap(heap_.begin(), heap_.end(), later);
  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    const auto pair = heap_.back();
    heap_.pop_back();
    if (!join(pair)) continue;
    const auto& merged = symbols_[pair.left()];
    if (merged.previous != kNone && propose(merged.previous, merge_of)) {
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
    if (merged.next != kNone && propose(pair.left(), merge_of)) {
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  }
  for (std::uint32_t i = 0; i != kNone; i = symbols_[i].next) emit(symbols_[i]);
}

template <typename TokenOf>
void PairMerger::split(std::string_view text, const TokenOf& token_of) {
  symbols_.clear();
  while (!text.empty()) {
    const auto front = utf8_front(text);
    const auto character = text.substr(0, front.state == Utf8State::whole ? front.bytes : 1);
    const auto index = static_cast<std::uint32_t>(symbols_.size());
    const auto token = front.state == Utf8State::whole ? token_of(character) : kNoToken;
    symbols_.push_back({character, token, index - 1, index + 1});  // 0 - 1 is kNone
    text.remove_prefix(character.size());
  }
  symbols_.back().next = kNone;
}

template <typename MergeOf>
bool PairMerger::propose(std::uint32_t left, const MergeOf& merge_of) {
  const auto& a = symbols_[left];
  const auto& b = symbols_[a.next];
  const Merge merge = merge_of(a, b);
  if (merge.token == kNoToken) return false;
  const auto bytes = static_cast<std::uint32_t>(a.text.size() + b.text.size());
  heap_.push_back({(std::uint64_t{merge.rank} << 32) | left, bytes, merge.token});
  return true;
}

inline bool PairMerger::join(const Proposal& pair) noexcept {
  auto& left = symbols_[pair.left()];
  if (left.text.empty() || left.next == kNone) return false;
  auto& right = symbols_[left.next];
  if (left.text.size() + right.text.size() != pair.bytes) return false;
  left.text = {left.text.data(), pair.bytes};
  left.token = pair.token;
  left.next = right.next;
  if (right.next != kNone) symbols_[right.next].previous = pair.left();
  right.text = {};
  return true;
}

}  // namespace tandem::model
