#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <string_view>

#include "model/grammar_machine.h"
#include "model/grammar_masks.h"
#include "model/recycled_memory.h"
#include "model/token_set.h"

namespace tandem::model {

/// Holds one answer to a grammar: says which tokens may come next, and takes the one that came.
///
/// An answer that ends where may_end() is true is what the grammar's root makes, whatever was chosen before.
/// That an answer ends in time cannot be promised: a limit on tokens may cut it before.
class GrammarMatcher {
 public:
  /// `begun`: bytes that the answer begins with, which are there already.  `memory`, which outlives the
  /// matcher, gives it the one mask that it keeps.  Throws GrammarError where the grammar makes nothing that
  /// begins so.
  explicit GrammarMatcher(std::shared_ptr<GrammarMasks> masks, std::string_view begun = {},
                          std::pmr::memory_resource* memory = std::pmr::get_default_resource());
  GrammarMatcher(const GrammarMatcher&) = delete;
  GrammarMatcher& operator=(const GrammarMatcher&) = delete;

  /// What may come next, end tokens where the answer may end; valid until the next call of a member.  Never
  /// empty, as long as the vocabulary has a token for each byte.  Throws GrammarError where an ambiguous
  /// grammar grows beyond all bounds, or what may come takes too long to find out or too much memory.
  const TokenSet& allowed();

  /// The same where it takes little; else null, and `allowed` finds it.  See GrammarMasks.
  const TokenSet* allowed_at_once(std::uint64_t most_steps = GrammarMasks::kStepsAtOnce);

  /// Takes `token`; false, and nothing changes, if it is not allowed.  After an end token nothing is.  Throws
  /// as `allowed` does.
  bool accept(TokenId token);

  /// Whether the answer so far is complete.
  [[nodiscard]] bool may_end() const noexcept { return machine_->may_end(state_); }

 private:
  [[nodiscard]] std::shared_ptr<GrammarMachine> new_machine();
  void keep_in_bounds();
  void begin_anew();
  [[nodiscard]] bool knows_allowed() const noexcept { return allowed_at_ == state_; }
  void begin_mask();

  std::shared_ptr<GrammarMasks> masks_;
  RecycledMemory memory_{GrammarMachine::kRecycledBytes};  ///< of machines
  std::shared_ptr<GrammarMachine> machine_;                ///< begun anew now and then
  std::size_t begun_bytes_ = 0;                            ///< that it had taken then
  GrammarMachine::StateId state_;
  bool ended_ = false;
  TokenSet allowed_;                                            ///< of the state that was asked for last
  GrammarMachine::StateId allowed_at_ = GrammarMachine::kDead;  ///< that state; kDead: of none
};

}  // namespace tandem::model
