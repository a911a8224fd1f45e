#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/grammar.h"
#include "model/grammar_machine.h"
#include "model/token_trie.h"

namespace tandem::model {

/// A set of tokens, one bit each: token t is bit t % 64 of word t / 64.
class TokenSet {
 public:
  explicit TokenSet(std::uint32_t vocabulary_size) : words_((vocabulary_size + 63) / 64) {}

  void add(TokenId token) noexcept {
    words_[static_cast<std::size_t>(token) / 64] |= std::uint64_t{1} << (static_cast<unsigned>(token) % 64);
  }
  [[nodiscard]] bool contains(TokenId token) const noexcept {
    return (words_[static_cast<std::size_t>(token) / 64] >> (static_cast<unsigned>(token) % 64) & 1U) != 0;
  }
  void add_all(const TokenSet& others) noexcept {
    for (std::size_t i = 0; i < words_.size(); ++i) words_[i] |= others.words_[i];
  }
  void clear() noexcept { words_.assign(words_.size(), 0); }
  [[nodiscard]] std::span<const std::uint64_t> words() const noexcept { return words_; }
  [[nodiscard]] std::size_t size() const noexcept;

 private:
  std::vector<std::uint64_t> words_;
};

/// Logits of tokens outside `allowed` become minus infinity.
void keep_only(const TokenSet& allowed, std::span<float> logits) noexcept;

/// Holds one answer to a grammar: says which tokens may come next, and takes the one that came.
///
/// An answer that ends where may_end() is true is what the grammar's root makes, whatever was chosen before.
/// That an answer ends in time cannot be promised: a limit on tokens may cut it before.
///
/// For each place in a rule the matcher keeps which tokens fit without regard to what is below on the stack,
/// and at which points of the trie the rule may end inside a token; only there the rest of the stack matters.
/// So a mask costs little even where nearly all tokens fit.  Not for several threads at once.
class GrammarMatcher {
 public:
  /// The trie outlives the matcher.  Works out the masks of all places that the grammar can come to, up to a
  /// limit; that may take some 100 ms, so do it off the I/O thread.
  GrammarMatcher(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie);
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  /// What may come next, end tokens where the answer may end; valid until the next call of a member.  Never
  /// empty.  Throws GrammarError where an ambiguous grammar grows beyond all bounds.
  const TokenSet& allowed();

  /// Takes `token`; false, and nothing changes, if it is not allowed.  After an end token nothing is.
  bool accept(TokenId token);

  /// Whether the answer so far is complete.
  [[nodiscard]] bool may_end() const noexcept { return live_->may_end(state_); }

 private:
  using StackId = GrammarMachine::StackId;
  using StateId = GrammarMachine::StateId;

  /// The tokens that fit at some places of one rule, whatever is below.
  struct RuleMask {
    std::vector<TokenId> few;          ///< either these,
    std::unique_ptr<TokenSet> many;    ///< or these
    std::vector<std::uint32_t> exits;  ///< nodes of the trie with more below, where the rule may be over
  };

  void warm_up();
  const RuleMask& rule_mask(StateId places);
  RuleMask make_rule_mask(StateId places);
  StateId state_above(std::span<const Grammar::NodeId> nodes);
  template <typename Visit>
  void walk(GrammarMachine& machine, std::uint32_t trie_node, StateId state, Visit visit);
  template <typename Visit>
  void for_each_rule(const GrammarMachine& machine, StateId state, Visit visit);
  void add_allowed(TokenSet& set);
  void forget_if_large();

  std::shared_ptr<const Grammar> grammar_;
  const TokenTrie& trie_;
  GrammarMachine places_;                  ///< stacks end below the rule they are in
  std::unique_ptr<GrammarMachine> live_;   ///< whole stacks, begun anew now and then
  StateId state_ = GrammarMachine::kDead;  ///< of live_
  bool ended_ = false;
  std::unordered_map<StateId, RuleMask> rule_masks_;        ///< by state of places_
  std::unordered_map<StateId, TokenSet> allowed_by_state_;  ///< by state of live_
  std::vector<StateId> path_;                               ///< of a walk, by depth
  std::uint64_t visited_ = 0;                               ///< nodes of the trie, in all walks
};

}  // namespace tandem::model
