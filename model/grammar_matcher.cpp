#include "model/grammar_matcher.h"

#include <algorithm>
#include <utility>

namespace tandem::model {
namespace {

constexpr std::size_t kMostLiveStates = 8192;  // of the machine; each may hold 1 KiB of transitions
constexpr std::size_t kMostLiveBytes = GrammarMachine::kMostBytes / 4;  // taken since it began

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<GrammarMasks> masks, std::string_view begun,
                               std::pmr::memory_resource* memory)
    : masks_(std::move(masks)),
      machine_(new_machine()),
      state_(machine_->state_at(masks_->grammar().start(), GrammarMachine::kEmptyStack)),
      allowed_(masks_->trie().vocabulary_size(), memory) {
  for (const char byte : begun) {
    state_ = machine_->next(state_, static_cast<std::uint8_t>(byte));
    keep_in_bounds();
  }
  if (state_ == GrammarMachine::kDead) throw GrammarError("the grammar does not begin as the answer does");
}

std::shared_ptr<GrammarMachine> GrammarMatcher::new_machine() {
  const std::pmr::polymorphic_allocator<GrammarMachine> memory(&memory_);
  return std::allocate_shared<GrammarMachine>(memory, masks_->grammar(), &memory_);
}

const TokenSet& GrammarMatcher::allowed() {
  if (knows_allowed()) return allowed_;
  begin_mask();
  masks_->add_allowed(*machine_, state_, allowed_);
  allowed_at_ = state_;
  return allowed_;
}

const TokenSet* GrammarMatcher::allowed_at_once(std::uint64_t most_steps) {
  if (knows_allowed()) return &allowed_;
  begin_mask();
  if (!masks_->add_allowed_at_once(*machine_, state_, allowed_, most_steps)) return nullptr;
  allowed_at_ = state_;
  return &allowed_;
}

/// Empties the mask, which is of no state then.
void GrammarMatcher::begin_mask() {
  const bool is_large =
      machine_->state_count() >= kMostLiveStates || machine_->bytes() >= begun_bytes_ + kMostLiveBytes;
  if (is_large) begin_anew();
  allowed_at_ = GrammarMachine::kDead;
  allowed_.clear();
}

bool GrammarMatcher::accept(TokenId token) {
  if (ended_) return false;
  if (std::ranges::find(masks_->trie().end_tokens(), token) != masks_->trie().end_tokens().end()) {
    ended_ = may_end();
    return ended_;
  }
  const auto bytes = masks_->trie().bytes(token);
  auto state = state_;
  for (const char byte : bytes) state = machine_->next(state, static_cast<std::uint8_t>(byte));
  if (bytes.empty() || state == GrammarMachine::kDead) return false;
  state_ = state;
  keep_in_bounds();
  return true;
}

/// Throws where the present state alone takes too much.
void GrammarMatcher::keep_in_bounds() {
  if (!machine_->is_too_large()) return;
  begin_anew();
  if (machine_->is_too_large()) throw GrammarError(GrammarMachine::too_large());
}

/// Begins the machine anew with nothing but the present state.
void GrammarMatcher::begin_anew() {
  auto fresh = new_machine();
  state_ = machine_->move_to(*fresh, state_);
  machine_ = std::move(fresh);
  begun_bytes_ = machine_->bytes();
  allowed_at_ = GrammarMachine::kDead;
}

}  // namespace tandem::model
