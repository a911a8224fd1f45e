#include "model/grammar_matcher.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <unordered_set>

namespace tandem::model {
namespace {

constexpr std::size_t kMostFew = 2048;              // tokens that a list holds before it becomes a set
constexpr std::size_t kMostLiveStates = 8192;       // each may hold 1 KiB of transitions
constexpr std::size_t kMostKeptMasks = 256;         // 32 KiB each at 262,144 tokens
constexpr std::uint64_t kWarmUpNodes = 50'000'000;  // of the trie, about 0.2 s

}  // namespace

std::size_t TokenSet::size() const noexcept {
  std::size_t count = 0;
  for (const auto word : words_) count += static_cast<std::size_t>(std::popcount(word));
  return count;
}

void keep_only(const TokenSet& allowed, std::span<float> logits) noexcept {
  constexpr float kNever = -std::numeric_limits<float>::infinity();
  const auto words = allowed.words();
  for (std::size_t begin = 0; begin < logits.size(); begin += 64) {
    const auto word = begin / 64 < words.size() ? words[begin / 64] : 0;
    if (word == ~std::uint64_t{0}) continue;
    const auto end = std::min(begin + 64, logits.size());
    for (auto i = begin; i < end; ++i) {
      if ((word >> (i - begin) & 1U) == 0) logits[i] = kNever;
    }
  }
}

GrammarMatcher::GrammarMatcher(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie)
    : grammar_(std::move(grammar)),
      trie_(trie),
      places_(*grammar_),
      live_(std::make_unique<GrammarMachine>(*grammar_)) {
  std::uint16_t deepest = 0;
  for (const auto& node : trie_.nodes()) deepest = std::max(deepest, node.depth);
  path_.resize(std::size_t{deepest} + 1);
  state_ = live_->state_at(grammar_->start(), GrammarMachine::kEmptyStack);
  warm_up();
}

/// Visits `trie_node` and all nodes below it that `state` can come to: visit(node, state there).
template <typename Visit>
void GrammarMatcher::walk(GrammarMachine& machine, std::uint32_t trie_node, StateId state, Visit visit) {
  const auto nodes = trie_.nodes();
  path_[nodes[trie_node].depth] = state;
  const auto end = nodes[trie_node].end;
  for (auto i = trie_node + 1; i < end;) {
    const auto& node = nodes[i];
    ++visited_;
    const auto there = machine.next(path_[node.depth - std::size_t{1}], node.byte);
    if (there == GrammarMachine::kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth] = there;
    visit(i, there);
    ++i;
  }
}

/// Calls visit(places, below) for the places of `state` that stand in one rule, entered with `below`.
template <typename Visit>
void GrammarMatcher::for_each_rule(const GrammarMachine& machine, StateId state, Visit visit) {
  std::vector<GrammarMachine::Frame> places;
  for (const auto stack : machine.stacks(state)) {
    if (stack != GrammarMachine::kEmptyStack) places.push_back(machine.frame(stack));
  }
  std::ranges::sort(places, {}, &GrammarMachine::Frame::below);
  std::vector<Grammar::NodeId> nodes;
  for (std::size_t i = 0; i < places.size(); ++i) {
    nodes.push_back(places[i].node);
    if (i + 1 < places.size() && places[i + 1].below == places[i].below) continue;
    visit(state_above(nodes), places[i].below);
    nodes.clear();
  }
}

GrammarMatcher::StateId GrammarMatcher::state_above(std::span<const Grammar::NodeId> nodes) {
  std::vector<StackId> stacks;
  for (const auto node : nodes) stacks.push_back(places_.push(node, GrammarMachine::kEmptyStack));
  return places_.intern(std::move(stacks));
}

GrammarMatcher::RuleMask GrammarMatcher::make_rule_mask(StateId places) {
  RuleMask mask;
  const auto nodes = trie_.nodes();
  walk(places_, 0, places, [&](std::uint32_t node, StateId state) {
    const auto tokens = trie_.tokens(node);
    if (mask.many != nullptr) {
      for (const auto token : tokens) mask.many->add(token);
    } else {
      mask.few.insert(mask.few.end(), tokens.begin(), tokens.end());
    }
    if (mask.few.size() > kMostFew) {
      mask.many = std::make_unique<TokenSet>(trie_.vocabulary_size());
      for (const auto token : mask.few) mask.many->add(token);
      mask.few = {};
    }
    if (nodes[node].end > node + 1 && places_.may_end(state)) mask.exits.push_back(node);
  });
  return mask;
}

const GrammarMatcher::RuleMask& GrammarMatcher::rule_mask(StateId places) {
  const auto known = rule_masks_.find(places);
  if (known != rule_masks_.end()) return known->second;
  return rule_masks_.emplace(places, make_rule_mask(places)).first->second;
}

/// Goes to all places byte by byte, rule by rule, and works out their masks.
void GrammarMatcher::warm_up() {
  std::unordered_set<StateId> seen;
  std::vector<StateId> open;
  const auto add = [&](StateId state) {
    if (state != GrammarMachine::kDead && seen.insert(state).second) open.push_back(state);
  };
  add(places_.state_at(grammar_->start(), GrammarMachine::kEmptyStack));
  while (!open.empty() && visited_ < kWarmUpNodes) {
    const auto state = open.back();
    open.pop_back();
    for_each_rule(places_, state, [&](StateId places, StackId below) {
      if (below != GrammarMachine::kEmptyStack) {
        add(places);
        add(places_.state_at(places_.frame(below).node, GrammarMachine::kEmptyStack));
        return;
      }
      rule_mask(places);
      for (unsigned byte = 0; byte < 256; ++byte) add(places_.next(places, static_cast<std::uint8_t>(byte)));
    });
  }
}

void GrammarMatcher::add_allowed(TokenSet& set) {
  if (live_->may_end(state_)) {
    for (const auto token : trie_.end_tokens()) set.add(token);
  }
  for_each_rule(*live_, state_, [&](StateId places, StackId below) {
    const auto& mask = rule_mask(places);
    if (mask.many != nullptr) set.add_all(*mask.many);
    for (const auto token : mask.few) set.add(token);
    if (mask.exits.empty()) return;
    const auto after = live_->after_rule(below);
    for (const auto exit : mask.exits) {
      walk(*live_, exit, after, [&](std::uint32_t node, StateId) {
        for (const auto token : trie_.tokens(node)) set.add(token);
      });
    }
  });
}

const TokenSet& GrammarMatcher::allowed() {
  forget_if_large();
  const auto known = allowed_by_state_.find(state_);
  if (known != allowed_by_state_.end()) return known->second;
  if (allowed_by_state_.size() >= kMostKeptMasks) allowed_by_state_.clear();
  TokenSet set(trie_.vocabulary_size());
  add_allowed(set);
  return allowed_by_state_.emplace(state_, std::move(set)).first->second;
}

bool GrammarMatcher::accept(TokenId token) {
  if (ended_) return false;
  if (std::ranges::find(trie_.end_tokens(), token) != trie_.end_tokens().end()) {
    ended_ = may_end();
    return ended_;
  }
  const auto bytes = trie_.bytes(token);
  auto state = state_;
  for (const char byte : bytes) state = live_->next(state, static_cast<std::uint8_t>(byte));
  if (bytes.empty() || state == GrammarMachine::kDead) return false;
  state_ = state;
  return true;
}

/// Begins the live machine anew with nothing but the present state.
void GrammarMatcher::forget_if_large() {
  if (live_->state_count() < kMostLiveStates) return;
  auto fresh = std::make_unique<GrammarMachine>(*grammar_);
  std::unordered_map<StackId, StackId> moved = {{GrammarMachine::kEmptyStack, GrammarMachine::kEmptyStack}};
  const auto move = [&](StackId stack) {
    std::vector<StackId> above;
    for (; !moved.contains(stack); stack = live_->frame(stack).below) above.push_back(stack);
    for (auto next = above.rbegin(); next != above.rend(); ++next) {
      const auto frame = live_->frame(*next);
      moved[*next] = fresh->push(frame.node, moved.at(frame.below));
    }
  };
  std::vector<StackId> stacks;
  for (const auto stack : live_->stacks(state_)) {
    move(stack);
    stacks.push_back(moved.at(stack));
  }
  state_ = fresh->intern(std::move(stacks));
  live_ = std::move(fresh);
  allowed_by_state_.clear();
}

}  // namespace tandem::model
