#include "model/grammar_masks.h"

#include <algorithm>
#include <array>
#include <memory_resource>
#include <unordered_set>

namespace tandem::model {
namespace {

constexpr const char* kTooLong = "which tokens fit the grammar takes too long to find out";
constexpr std::size_t kMostFew = 2048;     // tokens that a list holds before it becomes a set
constexpr std::size_t kMostStates = 8192;  // of a grammar; each may hold 1 KiB of transitions
constexpr std::size_t kMostKeptBytes = GrammarMachine::kMostBytes / 4;
constexpr std::uint64_t kWarmUpWork = 50'000'000;  // steps through the trie, about 0.3 s
constexpr std::uint64_t kWorkOfMask = 1000;        // what a mask takes beside the walk, in such steps
constexpr std::uint64_t kWorkOfPlace = 16;         // taking a byte at one place, in such steps
constexpr std::uint64_t kMostWork = 4'000'000;     // for one mask, about 0.3 s at most

}  // namespace

GrammarMasks::GrammarMasks(std::shared_ptr<const Grammar> grammar, const TokenTrie& trie,
                           std::shared_ptr<MaskStore> store)
    : grammar_(std::move(grammar)), trie_(trie), known_(std::move(store)), places_(new_machine()) {
  std::uint16_t deepest = 0;
  for (const auto& node : trie_.nodes()) deepest = std::max(deepest, node.depth);
  path_.resize(std::size_t{deepest} + 1);
  warm_up();
}

std::shared_ptr<GrammarMachine> GrammarMasks::new_machine() {
  const std::pmr::polymorphic_allocator<GrammarMachine> memory(&memory_);
  return std::allocate_shared<GrammarMachine>(memory, *grammar_, &memory_);
}

/// Does not throw: that would allocate where an answer's step tries what can be had at once.
void GrammarMasks::spend(std::uint64_t steps) noexcept {
  gave_up_ |= steps > work_left_;
  work_left_ -= std::min(steps, work_left_);
}

/// One step through the trie; to nowhere once it takes too long.
GrammarMasks::StateId GrammarMasks::next(GrammarMachine& machine, StateId state, std::uint8_t byte) {
  if (gave_up_) return GrammarMachine::kDead;
  const auto steps_before = machine.steps();
  const auto there = machine.next(state, byte);
  spend(1 + machine.steps() - steps_before);
  gave_up_ |= machine.is_too_large();
  return there;
}

/// Visits `trie_node` and all nodes below it that `state` can come to: visit(node, state there).
template <typename Visit>
void GrammarMasks::walk(GrammarMachine& machine, std::uint32_t trie_node, StateId state, Visit visit) {
  const auto nodes = trie_.nodes();
  path_[nodes[trie_node].depth] = state;
  const auto end = nodes[trie_node].end;
  for (auto i = trie_node + 1; i < end && !gave_up_;) {
    const auto& node = nodes[i];
    const auto there = next(machine, path_[node.depth - std::size_t{1}], node.byte);
    if (there == GrammarMachine::kDead) {
      i = node.end;
      continue;
    }
    path_[node.depth] = there;
    visit(i, there);
    ++i;
  }
}

/// Calls visit(places, below) for the places of `state` that stand in one rule, entered with `below`; it does
/// not come here again.
template <typename Visit>
void GrammarMasks::for_each_rule(const GrammarMachine& machine, StateId state, Visit visit) {
  frames_.clear();
  for (const auto stack : machine.stacks(state)) {
    if (stack != GrammarMachine::kEmptyStack) frames_.push_back(machine.frame(stack));
  }
  std::ranges::sort(frames_, {}, &GrammarMachine::Frame::below);
  nodes_.clear();
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    nodes_.push_back(frames_[i].node);
    if (i + 1 < frames_.size() && frames_[i + 1].below == frames_[i].below) continue;
    visit(state_above(nodes_), frames_[i].below);
    nodes_.clear();
  }
}

GrammarMasks::StateId GrammarMasks::state_above(std::span<const Grammar::NodeId> nodes) {
  stacks_.clear();
  for (const auto node : nodes) stacks_.push_back(places_->push(node, GrammarMachine::kEmptyStack));
  return places_->intern(stacks_);
}

RuleMask GrammarMasks::make_rule_mask(StateId places) {
  RuleMask mask(known_.memory());
  std::pmr::vector<std::uint32_t> exits(known_.memory());
  const auto nodes = trie_.nodes();
  walk(*places_, 0, places, [&](std::uint32_t node, StateId state) {
    const auto tokens = trie_.tokens(node);
    if (mask.many) {
      for (const auto token : tokens) mask.many->add(token);
    } else {
      mask.few.insert(mask.few.end(), tokens.begin(), tokens.end());
    }
    if (mask.few.size() > kMostFew) {
      mask.many.emplace(trie_.vocabulary_size(), known_.memory());
      for (const auto token : mask.few) mask.many->add(token);
      mask.few.clear();
    }
    if (nodes[node].end > node + 1 && places_->may_end(state)) exits.push_back(node);
  });
  mask.few.shrink_to_fit();
  add_exits(exits, mask);
  return mask;
}

/// Notes the nodes right below `exits`, by their byte.
void GrammarMasks::add_exits(std::span<const std::uint32_t> exits, RuleMask& mask) const {
  if (exits.empty()) return;
  const auto nodes = trie_.nodes();
  const auto for_each_child = [&](auto visit) {
    for (const auto exit : exits) {
      for (auto child = exit + 1; child < nodes[exit].end; child = nodes[child].end) visit(child);
    }
  };
  constexpr std::size_t kEnds = 257;
  mask.first_beyond.assign(kEnds, 0);
  for_each_child([&](std::uint32_t child) { ++mask.first_beyond[nodes[child].byte + std::size_t{1}]; });
  for (std::size_t byte = 1; byte < kEnds; ++byte) mask.first_beyond[byte] += mask.first_beyond[byte - 1];
  mask.beyond.resize(mask.first_beyond.back());
  std::array<std::uint32_t, kEnds> next;
  std::ranges::copy(mask.first_beyond, next.begin());
  for_each_child([&](std::uint32_t child) { mask.beyond[next[nodes[child].byte]++] = child; });
}

/// Adds the tokens that leave the rule on their way and go on from `after`.
void GrammarMasks::add_beyond(const RuleMask& mask, GrammarMachine& machine, StateId after, TokenSet& set) {
  for (std::size_t byte = 0; byte < 256; ++byte) {
    const auto begin = mask.first_beyond[byte];
    const auto end = mask.first_beyond[byte + 1];
    if (begin == end) continue;
    const auto state = next(machine, after, static_cast<std::uint8_t>(byte));
    if (state == GrammarMachine::kDead) continue;
    for (auto i = begin; i < end; ++i) {
      const auto add = [&](std::uint32_t node, StateId) {
        for (const auto token : trie_.tokens(node)) set.add(token);
      };
      add(mask.beyond[i], state);
      walk(machine, mask.beyond[i], state, add);
    }
  }
}

std::shared_ptr<const RuleMask> GrammarMasks::rule_mask(StateId places) {
  if (auto known = known_.find(places)) return known;
  const std::pmr::polymorphic_allocator<RuleMask> memory(known_.memory());
  std::shared_ptr<const RuleMask> made = std::allocate_shared<RuleMask>(memory, make_rule_mask(places));
  if (!gave_up_) known_.keep(places, made);
  return made;
}

/// Masks are named after states, so they go together.
void GrammarMasks::forget_if_large() {
  if (places_->state_count() < kMostStates && places_->bytes() < kMostKeptBytes) return;
  places_ = new_machine();
  known_.clear();
}

/// Goes to all places byte by byte, rule by rule, and works out their masks.
void GrammarMasks::warm_up() {
  std::unordered_set<StateId> seen;
  std::vector<StateId> open;
  std::uint64_t work = 0;
  const auto add = [&](StateId state) {
    if (state != GrammarMachine::kDead && seen.insert(state).second) open.push_back(state);
  };
  const auto go_to = [&](auto find) {
    const auto steps_before = places_->steps();
    add(find());
    work += places_->steps() - steps_before;
  };
  add(places_->state_at(grammar_->start(), GrammarMachine::kEmptyStack));
  const auto has_room = [&] {
    return places_->state_count() < kMostStates / 2 && places_->bytes() < kMostKeptBytes;
  };
  while (!open.empty() && work < kWarmUpWork && has_room()) {
    const auto state = open.back();
    open.pop_back();
    for_each_rule(*places_, state, [&](StateId places, GrammarMachine::StackId below) {
      if (below != GrammarMachine::kEmptyStack) {
        add(places);
        go_to([&] { return places_->state_at(places_->frame(below).node, GrammarMachine::kEmptyStack); });
        return;
      }
      work_left_ = kMostWork;
      rule_mask(places);
      if (gave_up_) throw_why_not(*places_);
      work += kMostWork - work_left_;
      const auto bytes = places_->possible_bytes(places);
      for (unsigned byte = 0; byte < 256; ++byte) {
        if (bytes[byte]) go_to([&] { return places_->next(places, static_cast<std::uint8_t>(byte)); });
      }
      work += kWorkOfMask + bytes.count() * places_->stacks(places).size() * kWorkOfPlace;
    });
  }
}

/// Where `machine` goes on after rules that were entered with one of these below them.
GrammarMasks::StateId GrammarMasks::after_any(std::span<const InRule> rules, GrammarMachine& machine) {
  stacks_.clear();
  for (const auto& rule : rules) {
    if (gave_up_) break;
    const auto steps_before = machine.steps();
    const auto after = machine.stacks(machine.after_rule(rule.below));
    spend(1 + machine.steps() - steps_before);
    gave_up_ |= machine.is_too_large();
    stacks_.insert(stacks_.end(), after.begin(), after.end());
  }
  return machine.intern(stacks_);
}

void GrammarMasks::add_allowed(GrammarMachine& machine, StateId state, TokenSet& set) {
  const std::lock_guard lock(mutex_);
  if (!find_allowed(machine, state, set, kMostWork)) throw_why_not(machine);
}

void GrammarMasks::throw_why_not(const GrammarMachine& machine) const {
  const bool too_large = machine.is_too_large() || places_->is_too_large();
  throw GrammarError(too_large ? GrammarMachine::too_large() : kTooLong);
}

bool GrammarMasks::add_allowed_at_once(GrammarMachine& machine, StateId state, TokenSet& set,
                                       std::uint64_t most_steps) {
  const std::unique_lock lock(mutex_, std::try_to_lock);
  return lock.owns_lock() && find_allowed(machine, state, set, most_steps);
}

/// False if it takes more than `most_steps`.  Of rules within each other many stand at the same places: what
/// comes after any of them is one walk.
bool GrammarMasks::find_allowed(GrammarMachine& machine, StateId state, TokenSet& set,
                                std::uint64_t most_steps) {
  forget_if_large();
  work_left_ = most_steps;
  gave_up_ = false;
  if (machine.may_end(state)) {
    for (const auto token : trie_.end_tokens()) set.add(token);
  }
  in_rules_.clear();
  for_each_rule(machine, state, [&](StateId places, GrammarMachine::StackId below) {
    in_rules_.push_back({places, below});
  });
  std::ranges::sort(in_rules_, {}, &InRule::places);
  for (std::span<const InRule> rest = in_rules_; !rest.empty() && !gave_up_;) {
    const auto places = rest.front().places;
    const auto other = std::ranges::find_if(rest, [&](const InRule& rule) { return rule.places != places; });
    const auto same = rest.first(static_cast<std::size_t>(other - rest.begin()));
    rest = rest.subspan(same.size());
    const auto mask = rule_mask(places);
    if (mask->many) set.add_all(*mask->many);
    for (const auto token : mask->few) set.add(token);
    if (!mask->beyond.empty()) add_beyond(*mask, machine, after_any(same, machine), set);
  }
  return !gave_up_;
}

}  // namespace tandem::model
