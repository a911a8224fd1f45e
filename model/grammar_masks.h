#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "model/grammar.h"
#include "model/grammar_machine.h"
#include "model/mask_store.h"
#include "model/recycled_memory.h"
#include "model/token_set.h"
#include "model/token_trie.h"

namespace tandem::model {

/// A grammar and which tokens fit where in its rules, for any number of answers.
///
/// For each set of places that the grammar can be in within one rule, it knows which tokens fit without
/// regard to what is below on the stack, and at which points of the trie the rule may be over inside a token;
/// only from there on the rest of the stack matters.  So a mask costs little even where nearly all tokens
/// fit. What is not known yet, or was dropped from the store, is found out when it is asked for, by one
/// thread at a time.
class GrammarMasks {
 public:
  using StateId = GrammarMachine::StateId;

  /// Works out the masks of all places that the grammar can come to, up to a limit: some 10 ms, about
  /// 0.5 s at most, so do it off the I/O thread.  What is beyond the limit, as with long counted repetitions
  /// of wide character sets, costs a few ms where it comes up first.  The masks are kept in `store`, which
  /// grammars may share.  The trie outlives the object.  Throws as add_allowed does.
  GrammarMasks(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie,
               std::shared_ptr<MaskStore> store = std::make_shared<MaskStore>());
  GrammarMasks(const GrammarMasks&) = delete;
  GrammarMasks& operator=(const GrammarMasks&) = delete;

  [[nodiscard]] const Grammar& grammar() const noexcept { return *grammar_; }
  [[nodiscard]] const TokenTrie& trie() const noexcept { return trie_; }
  /// That it takes in memory at the moment, but for masks and trie.
  [[nodiscard]] std::size_t bytes() { return grammar_->bytes() + memory_.bytes_in_use(); }

  /// Adds the tokens that may come next where an answer is at `state` of `machine`, which runs the grammar.
  /// Waits for other threads in here.  Throws GrammarError where it takes too long, by steps and not by a
  /// clock: about 0.3 s at most; or where a machine grows too large.
  void add_allowed(GrammarMachine& machine, StateId state, TokenSet& set);

  /// The same for who cannot wait: false, and `set` has some of the tokens only, where it takes more than
  /// `most_steps`, another thread is in here or a machine grows too large.
  [[nodiscard]] bool add_allowed_at_once(GrammarMachine& machine, StateId state, TokenSet& set,
                                         std::uint64_t most_steps = kStepsAtOnce);

  /// 1 ms or so.
  static constexpr std::uint64_t kStepsAtOnce = 20'000;

 private:
  /// Places within one rule, and what was below it when it was entered.
  struct InRule {
    StateId places = GrammarMachine::kDead;
    GrammarMachine::StackId below = GrammarMachine::kEmptyStack;
  };

  [[nodiscard]] std::shared_ptr<GrammarMachine> new_machine();
  void warm_up();
  void forget_if_large();
  void spend(std::uint64_t steps) noexcept;
  [[noreturn]] void throw_why_not(const GrammarMachine& machine) const;
  bool find_allowed(GrammarMachine& machine, StateId state, TokenSet& set, std::uint64_t most_steps);
  StateId next(GrammarMachine& machine, StateId state, std::uint8_t byte);
  std::shared_ptr<const RuleMask> rule_mask(StateId places);
  RuleMask make_rule_mask(StateId places);
  void add_exits(std::span<const std::uint32_t> exits, RuleMask& mask) const;
  void add_beyond(const RuleMask& mask, GrammarMachine& machine, StateId after, TokenSet& set);
  StateId after_any(std::span<const InRule> rules, GrammarMachine& machine);
  StateId state_above(std::span<const Grammar::NodeId> nodes);
  template <typename Visit>
  void walk(GrammarMachine& machine, std::uint32_t trie_node, StateId state, Visit visit);
  template <typename Visit>
  void for_each_rule(const GrammarMachine& machine, StateId state, Visit visit);

  std::shared_ptr<const Grammar> grammar_;
  const TokenTrie& trie_;
  RecycledMemory memory_{GrammarMachine::kRecycledBytes};  ///< of all below but masks
  MaskShelf known_;                                        ///< by state of places_
  /// Stacks end below the rule they are in; begun anew now and then.
  std::shared_ptr<GrammarMachine> places_;
  std::vector<StateId> path_;  ///< of a walk, by depth

  // Where work is done.
  std::pmr::vector<GrammarMachine::Frame> frames_{&memory_};
  std::pmr::vector<Grammar::NodeId> nodes_{&memory_};
  std::pmr::vector<GrammarMachine::StackId> stacks_{&memory_};
  std::pmr::vector<InRule> in_rules_{&memory_};

  std::uint64_t work_left_ = 0;  ///< before what is asked for takes too long, in steps through the trie
  bool gave_up_ = false;         ///< it took too long or too much: what was found is not all

  std::mutex mutex_;  ///< guards all but grammar_ and trie_
};

}  // namespace tandem::model
