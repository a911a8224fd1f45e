#include "model/grammar_matcher.h"

#include <algorithm>
#include <unordered_map>
#include <utility>
#include <vector>

namespace tandem::model {
namespace {

constexpr std::size_t kMostLiveStates = 8192;  // of the machine; each may hold 1 KiB of transitions
constexpr std::size_t kMostLiveBytes = GrammarMachine::kMostBytes / 4;  // taken since it began
constexpr std::size_t kKeptMasks = 32;                                  // 32 KiB each at 262,144 tokens

}  // namespace

GrammarMatcher::GrammarMatcher(std::shared_ptr<GrammarMasks> masks, std::string_view begun)
    : masks_(std::move(masks)),
      machine_(new_machine()),
      state_(machine_->state_at(masks_->grammar().start(), GrammarMachine::kEmptyStack)),
      known_(kKeptMasks, {GrammarMachine::kDead, TokenSet(masks_->trie().vocabulary_size())}) {
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
  if (const auto* const known = known_allowed()) return *known;
  auto& made = oldest_emptied();
  masks_->add_allowed(*machine_, state_, made.allowed);
  return keep(made);
}

const TokenSet* GrammarMatcher::allowed_at_once(std::uint64_t most_steps) {
  if (const auto* const known = known_allowed()) return known;
  auto& made = oldest_emptied();
  if (!masks_->add_allowed_at_once(*machine_, state_, made.allowed, most_steps)) return nullptr;
  return &keep(made);
}

/// Null where it was not asked for lately.
const TokenSet* GrammarMatcher::known_allowed() {
  const auto known = std::ranges::find(known_, state_, &Known::state);
  return known == known_.end() ? nullptr : &known->allowed;
}

/// The oldest, of no state and empty, for a set that is to be found.
GrammarMatcher::Known& GrammarMatcher::oldest_emptied() {
  const bool is_large =
      machine_->state_count() >= kMostLiveStates || machine_->bytes() >= begun_bytes_ + kMostLiveBytes;
  if (is_large) begin_anew();
  auto& oldest = known_[oldest_];
  oldest.state = GrammarMachine::kDead;
  oldest.allowed.clear();
  return oldest;
}

/// What was the oldest is what the present state allows.
const TokenSet& GrammarMatcher::keep(Known& made) {
  made.state = state_;
  oldest_ = (oldest_ + 1) % known_.size();
  return made.allowed;
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
  std::pmr::unordered_map<GrammarMachine::StackId, GrammarMachine::StackId> moved(&memory_);
  moved.emplace(GrammarMachine::kEmptyStack, GrammarMachine::kEmptyStack);
  const auto move = [&](GrammarMachine::StackId stack) {
    std::pmr::vector<GrammarMachine::StackId> above(&memory_);
    for (; !moved.contains(stack); stack = machine_->frame(stack).below) above.push_back(stack);
    for (auto next = above.rbegin(); next != above.rend(); ++next) {
      const auto frame = machine_->frame(*next);
      moved[*next] = fresh->push(frame.node, moved.at(frame.below));
    }
  };
  std::pmr::vector<GrammarMachine::StackId> stacks(&memory_);
  for (const auto stack : machine_->stacks(state_)) {
    move(stack);
    stacks.push_back(moved.at(stack));
  }
  state_ = fresh->intern(stacks);
  machine_ = std::move(fresh);
  begun_bytes_ = machine_->bytes();
  for (auto& known : known_) known.state = GrammarMachine::kDead;
}

}  // namespace tandem::model
