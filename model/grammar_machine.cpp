#include "model/grammar_machine.h"

#include <algorithm>
#include <string>

namespace tandem::model {
namespace {

constexpr std::size_t kMostPlaces = 4096;             // in one state
constexpr std::size_t kMostSteps = 16 * kMostPlaces;  // on the way to them

}  // namespace

GrammarMachine::GrammarMachine(const Grammar& grammar, std::pmr::memory_resource* memory)
    : grammar_(grammar), taken_(memory), room_(kRoomBytes, &taken_), stacks_(&taken_) {
  constexpr std::size_t kUsualStacks = 256;  // of a state; it grows where one has more
  stacks_.reserve(kUsualStacks);
  frames_.emplace_back();
  intern(stacks_);  // kDead
}

std::string GrammarMachine::too_large() {
  return "where the grammar may be takes more than " + std::to_string(kMostBytes) + " bytes to keep";
}

GrammarMachine::StackId GrammarMachine::push(NodeId node, StackId below) {
  const auto [entry, is_new] = stack_ids_.try_emplace({node, below}, static_cast<StackId>(frames_.size()));
  if (is_new) frames_.push_back({node, below});
  return entry->second;
}

GrammarMachine::StateId GrammarMachine::intern(std::pmr::vector<StackId>& stacks) {
  std::ranges::sort(stacks);
  stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
  const auto known = state_ids_.find(std::span<const StackId>(stacks));
  if (known != state_ids_.end()) return known->second;
  std::pmr::vector<StackId> key(stacks.begin(), stacks.end(), &room_);
  const auto entry = state_ids_.try_emplace(std::move(key), static_cast<StateId>(states_.size())).first;
  states_.push_back(&entry->first);
  transitions_.push_back(nullptr);
  return entry->second;
}

/// A frame is above those that it was pushed on, so these have smaller numbers and move first.
GrammarMachine::StateId GrammarMachine::move_to(GrammarMachine& fresh, StateId state) {
  constexpr NodeId kMoves = ~(~NodeId{0} >> 1);  // the highest bit: of no node's number
  for (auto stack : stacks(state)) {
    for (; stack != kEmptyStack && (frames_[stack].node & kMoves) == 0; stack = frames_[stack].below) {
      frames_[stack].node |= kMoves;
    }
  }
  for (StackId stack = kEmptyStack + 1; stack < frames_.size(); ++stack) {
    auto& [node, below] = frames_[stack];
    if ((node & kMoves) != 0) below = fresh.push(node & ~kMoves, frames_[below].below);
  }
  fresh.stacks_.clear();
  for (const auto stack : stacks(state)) fresh.stacks_.push_back(frames_[stack].below);
  return fresh.intern(fresh.stacks_);
}

GrammarMachine::StateId GrammarMachine::state_at(NodeId node, StackId below) {
  stacks_.clear();
  seen_.clear();
  expand(node, below, stacks_);
  return intern(stacks_);
}

GrammarMachine::StateId GrammarMachine::after_rule(StackId stack) {
  if (stack == kEmptyStack) {
    stacks_.assign(1, kEmptyStack);
    return intern(stacks_);
  }
  const auto below = frames_[stack];
  return state_at(below.node, below.below);
}

GrammarMachine::StateId GrammarMachine::find_next(StateId state, std::uint8_t byte) {
  auto& transitions = transitions_[state] != nullptr ? *transitions_[state] : first_transitions(state);
  if (transitions[byte] == kDead) return kDead;
  stacks_.clear();
  seen_.clear();
  steps_ += states_[state]->size();
  for (const auto stack : *states_[state]) {
    if (stack == kEmptyStack) continue;
    const auto place = frames_[stack];
    const auto& node = grammar_.node(place.node);
    if (grammar_.byte_set(node)[byte]) expand(node.next, place.below, stacks_);
  }
  return transitions[byte] = intern(stacks_);
}

/// What is known before any byte is tried: which ones lead nowhere.
GrammarMachine::Transitions& GrammarMachine::first_transitions(StateId state) {
  auto& transitions = tables_.emplace_back();
  transitions_[state] = &transitions;
  const auto bytes = possible_bytes(state);
  for (std::size_t byte = 0; byte < 256; ++byte) transitions[byte] = bytes[byte] ? kUnknown : kDead;
  return transitions;
}

std::bitset<256> GrammarMachine::possible_bytes(StateId state) const {
  std::bitset<256> bytes;
  for (const auto stack : *states_[state]) {
    if (stack != kEmptyStack) bytes |= grammar_.byte_set(grammar_.node(frames_[stack].node));
  }
  return bytes;
}

/// Follows calls, forks and ends until a byte has to be taken or everything is over, but no way that was
/// `seen_`.
void GrammarMachine::expand(NodeId start, StackId below_start, std::pmr::vector<StackId>& out) {
  open_.clear();
  const auto visit = [this](NodeId node, StackId below) {
    if (seen_.insert({node, below}).second) open_.push_back({node, below});
  };
  visit(start, below_start);
  while (!open_.empty()) {
    const auto [id, below] = open_.back();
    open_.pop_back();
    ++steps_;
    const auto& node = grammar_.node(id);
    switch (node.kind) {
      case Grammar::Node::Kind::bytes:
        out.push_back(push(id, below));
        break;
      case Grammar::Node::Kind::fork:
        for (const auto branch : grammar_.branches(node)) visit(branch, below);
        break;
      case Grammar::Node::Kind::call: {
        // A rule's last call needs no place to come back to.
        const bool is_last = grammar_.node(node.next).kind == Grammar::Node::Kind::end;
        visit(node.target, is_last ? below : push(node.next, below));
        break;
      }
      case Grammar::Node::Kind::end:
        if (below == kEmptyStack) {
          out.push_back(kEmptyStack);
        } else {
          const auto resume = frames_[below];
          visit(resume.node, resume.below);
        }
    }
    // Here and not at the end: few rules are enough for more ways than could ever be followed.
    if (out.size() > kMostPlaces) {
      throw GrammarError("the grammar may be in more than " + std::to_string(kMostPlaces) +
                         " places at once");
    }
    if (seen_.size() > kMostSteps) {
      throw GrammarError("the grammar makes the same text in too many ways");
    }
  }
}

}  // namespace tandem::model
