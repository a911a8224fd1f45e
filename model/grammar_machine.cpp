#include "model/grammar_machine.h"

#include <algorithm>
#include <string>
#include <unordered_set>

namespace tandem::model {
namespace {

constexpr std::size_t kMostPlaces = 4096;  // in one state

}  // namespace

GrammarMachine::GrammarMachine(const Grammar& grammar) : grammar_(grammar), frames_(1) {
  intern({});  // kDead
}

GrammarMachine::StackId GrammarMachine::push(NodeId node, StackId below) {
  const auto [entry, is_new] = stack_ids_.try_emplace({node, below}, static_cast<StackId>(frames_.size()));
  if (is_new) frames_.push_back({node, below});
  return entry->second;
}

GrammarMachine::StateId GrammarMachine::intern(std::vector<StackId> stacks) {
  std::ranges::sort(stacks);
  stacks.erase(std::unique(stacks.begin(), stacks.end()), stacks.end());
  const auto [entry, is_new] =
      state_ids_.try_emplace(std::move(stacks), static_cast<StateId>(states_.size()));
  if (is_new) {
    states_.push_back(&entry->first);
    transitions_.emplace_back();
  }
  return entry->second;
}

GrammarMachine::StateId GrammarMachine::state_at(NodeId node, StackId below) {
  std::vector<StackId> stacks;
  expand(node, below, stacks);
  return intern(std::move(stacks));
}

GrammarMachine::StateId GrammarMachine::after_rule(StackId stack) {
  if (stack == kEmptyStack) return intern({kEmptyStack});
  const auto below = frames_[stack];
  return state_at(below.node, below.below);
}

GrammarMachine::StateId GrammarMachine::find_next(StateId state, std::uint8_t byte) {
  if (transitions_[state] == nullptr) transitions_[state] = first_transitions(state);
  if ((*transitions_[state])[byte] == kDead) return kDead;
  std::vector<StackId> stacks;
  for (const auto stack : *states_[state]) {
    if (stack == kEmptyStack) continue;
    const auto place = frames_[stack];
    const auto& node = grammar_.node(place.node);
    if (grammar_.byte_set(node)[byte]) expand(node.next, place.below, stacks);
  }
  const auto found = intern(std::move(stacks));
  return (*transitions_[state])[byte] = found;
}

/// What is known before any byte is tried: which ones lead nowhere.
std::unique_ptr<GrammarMachine::Transitions> GrammarMachine::first_transitions(StateId state) const {
  auto transitions = std::make_unique<Transitions>();
  const auto bytes = possible_bytes(state);
  for (std::size_t byte = 0; byte < 256; ++byte) (*transitions)[byte] = bytes[byte] ? kUnknown : kDead;
  return transitions;
}

std::bitset<256> GrammarMachine::possible_bytes(StateId state) const {
  std::bitset<256> bytes;
  for (const auto stack : *states_[state]) {
    if (stack != kEmptyStack) bytes |= grammar_.byte_set(grammar_.node(frames_[stack].node));
  }
  return bytes;
}

/// Follows calls, forks and ends until a byte has to be taken or everything is over.
void GrammarMachine::expand(NodeId start, StackId below_start, std::vector<StackId>& out) {
  std::vector<Frame> open = {{start, below_start}};
  std::unordered_set<Frame, FrameHash> seen = {open.front()};
  const auto visit = [&](NodeId node, StackId below) {
    if (seen.insert({node, below}).second) open.push_back({node, below});
  };
  while (!open.empty()) {
    const auto [id, below] = open.back();
    open.pop_back();
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
  }
  if (out.size() > kMostPlaces) {
    throw GrammarError("the grammar may be in more than " + std::to_string(kMostPlaces) + " places at once");
  }
}

}  // namespace tandem::model
