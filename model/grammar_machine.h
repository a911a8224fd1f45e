#pragma once

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory_resource>
#include <span>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "model/grammar.h"

namespace tandem::model {

/// Runs a grammar over bytes.  A state is the set of all places where the grammar may be after the bytes so
/// far: stacks of nodes, the top one takes the next byte, the others are where to go on after a rule's end.
/// Stacks and states are numbered as they come up and kept; equal ones have equal numbers.  They lie in
/// memory of the machine's own: kRoomBytes from the start, and where those are full, ever larger pieces,
/// until it `is_too_large`: then whoever runs it gives it up.
class GrammarMachine {
 public:
  using NodeId = Grammar::NodeId;
  using StackId = std::uint32_t;
  using StateId = std::uint32_t;

  static constexpr StackId kEmptyStack = 0;  ///< everything is over
  static constexpr StateId kDead = 0;        ///< no stack at all: the bytes do not fit
  static constexpr std::size_t kRoomBytes = (std::size_t{1} << 20) - 64;  ///< 1 MiB with what is kept of it
  static constexpr std::size_t kMostBytes = std::size_t{64} << 20;
  /// Addresses of RecycledMemory in which a machine as large as that can begin anew: nothing is allocated
  /// then.
  static constexpr std::size_t kRecycledBytes = 4 * kMostBytes;

  struct Frame {
    NodeId node = 0;
    StackId below = kEmptyStack;
    bool operator==(const Frame&) const = default;
  };

  /// `memory`, which outlives the machine, gives it all that it takes.
  explicit GrammarMachine(const Grammar& grammar,
                          std::pmr::memory_resource* memory = std::pmr::get_default_resource());

  /// Where `node` leads before it takes a byte, with `below` under it.
  StateId state_at(NodeId node, StackId below);
  /// Where the grammar goes on after the rule that was entered with `stack` below it.
  StateId after_rule(StackId stack);
  /// The state that takes one byte more.  Remembered, so asking again is a look-up.
  StateId next(StateId state, std::uint8_t byte) {
    auto& known = transitions_[state];
    if (known != nullptr && (*known)[byte] != kUnknown) return (*known)[byte];
    return find_next(state, byte);
  }

  /// The stacks of a state, ascending.
  [[nodiscard]] std::span<const StackId> stacks(StateId state) const noexcept { return *states_[state]; }
  [[nodiscard]] const Frame& frame(StackId stack) const noexcept { return frames_[stack]; }
  /// Every byte that does not lead to kDead.
  [[nodiscard]] std::bitset<256> possible_bytes(StateId state) const;
  /// True if the bytes so far may be all.
  [[nodiscard]] bool may_end(StateId state) const noexcept {
    return !states_[state]->empty() && states_[state]->front() == kEmptyStack;
  }

  StackId push(NodeId node, StackId below);
  /// The state of these stacks, which are sorted here.
  StateId intern(std::pmr::vector<StackId>& stacks);

  /// The same state in `fresh`, which has none yet, of the same grammar; where it may be afterwards.  This
  /// machine is of no use any more: it notes what went where in its own frames.
  StateId move_to(GrammarMachine& fresh, StateId state);

  [[nodiscard]] std::size_t state_count() const noexcept { return states_.size(); }
  /// That it has taken.
  [[nodiscard]] std::size_t bytes() const noexcept { return taken_.bytes(); }
  [[nodiscard]] bool is_too_large() const noexcept { return bytes() > kMostBytes; }
  /// Why it is given up then.
  [[nodiscard]] static std::string too_large();
  /// Places that a byte was tried at, and calls, forks, ends and places that were come to so far: what states
  /// have cost.
  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }

 private:
  using Transitions = std::array<StateId, 256>;

  static constexpr StateId kUnknown = ~StateId{0};

  struct FrameHash {
    std::size_t operator()(const Frame& frame) const noexcept {
      return (std::uint64_t{frame.node} << 32 | frame.below) * 0x9E3779B97F4A7C15U >> 16;
    }
  };

  /// Of lists of stacks, whosever they are.
  struct Before {
    using is_transparent = void;
    bool operator()(std::span<const StackId> a, std::span<const StackId> b) const noexcept {
      return std::ranges::lexicographical_compare(a, b);
    }
  };

  StateId find_next(StateId state, std::uint8_t byte);
  Transitions& first_transitions(StateId state);
  void expand(NodeId node, StackId below, std::pmr::vector<StackId>& out);

  /// What another has, counted.
  class Counted final : public std::pmr::memory_resource {
   public:
    explicit Counted(std::pmr::memory_resource* memory) noexcept : memory_(memory) {}
    [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

   private:
    void* do_allocate(std::size_t bytes, std::size_t alignment) override {
      bytes_ += bytes;
      return memory_->allocate(bytes, alignment);
    }
    void do_deallocate(void* at, std::size_t bytes, std::size_t alignment) override {
      bytes_ -= bytes;
      memory_->deallocate(at, bytes, alignment);
    }
    [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
      return this == &other;
    }

    std::pmr::memory_resource* memory_;
    std::size_t bytes_ = 0;
  };

  const Grammar& grammar_;
  Counted taken_;
  std::pmr::monotonic_buffer_resource room_;
  std::pmr::unsynchronized_pool_resource pool_{&room_};  ///< of what comes and goes
  std::pmr::vector<Frame> frames_{&room_};
  std::pmr::unordered_map<Frame, StackId, FrameHash> stack_ids_{&room_};
  std::pmr::map<std::pmr::vector<StackId>, StateId, Before> state_ids_{&room_};
  std::pmr::vector<const std::pmr::vector<StackId>*> states_{&room_};  ///< keys of state_ids_
  std::pmr::deque<Transitions> tables_{&room_};
  std::pmr::vector<Transitions*> transitions_{&room_};  ///< of each state; null: none is known

  // Where work is done, so that it allocates once.
  std::pmr::vector<StackId> stacks_;
  std::pmr::vector<Frame> open_{&pool_};
  std::pmr::unordered_set<Frame, FrameHash> seen_{&pool_};
  std::uint64_t steps_ = 0;
};

}  // namespace tandem::model
