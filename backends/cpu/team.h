#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "backends/cpu/executor.h"
#include "backends/cpu/shares.h"

namespace tandem::cpu {

/// What became of binding a team's threads to cores.
struct Pinning {
  unsigned pinned = 0;  ///< threads that the system bound
  unsigned threads = 0;
  unsigned cores = 0;

  [[nodiscard]] bool worked() const noexcept { return pinned == threads; }
  /// For the log, e.g. "4 of 4 threads pinned to 4 cores".
  [[nodiscard]] std::string words() const;
};

/// The threads of a CPU stage.  One parallel region runs a whole step; inside it the members share out each
/// operation in pieces and meet at a barrier after it.  A member begins with pieces that follow each other:
/// what its kernels ask of memory ahead of a piece's end is then its own next piece.  When it is through it
/// takes pieces from the ends of the others' shares, so that nobody waits long for a slow core.
class Team {
 public:
  /// `threads` = 0 means one for each physical core the process may use.
  explicit Team(unsigned threads = 0);

  [[nodiscard]] unsigned threads() const noexcept { return threads_; }

  /// Binds each thread to a core of its own, the caller included, which must be the thread that calls `run`.
  /// Where there are more threads than cores, they share: who waits then sleeps at once, because the one that
  /// is waited for needs the core.
  Pinning pin();

  /// A thread inside a region.
  class Member {
   public:
    /// Calls work(i) once for every i < n < 2^32, shared among the members in no particular order, and
    /// returns when all are done.  Every member has to make the same calls in the same order.
    template <class Work>
    void for_each(std::size_t n, Work&& work) noexcept {
      const std::uint32_t operation = begin_operation();
      const Share own(n, index_, count_);
      while (const auto i = claims(index_, operation).next(own)) work(*i);
      for (unsigned other = index_ + 1; other < index_ + count_; ++other) {
        const Share rest(n, other % count_, count_);
        while (const auto i = claims(other % count_, operation).last(rest)) work(*i);
      }
      wait_for_all(operation);
    }

    [[nodiscard]] unsigned index() const noexcept { return index_; }
    [[nodiscard]] unsigned count() const noexcept { return count_; }

   private:
    friend class Team;
    Member(Team& team, unsigned index, unsigned count) noexcept : team_(team), index_(index), count_(count) {}

    Claims& claims(unsigned member, std::uint32_t operation) noexcept {
      return team_.claims_[member].of(operation);
    }
    /// The number of the operation that begins.
    std::uint32_t begin_operation() noexcept;
    void wait_for_all(std::uint32_t operation) noexcept;

    Team& team_;
    unsigned index_;
    unsigned count_;
  };

  /// Runs body(member) on every thread and returns when all are done.  Always to be called by the same
  /// thread.
  template <class Body>
  void run(Body&& body) noexcept {
    for (MemberClaims& claims : claims_) claims.clear();  // a region may have fewer members than the next one
    Region<std::remove_reference_t<Body>> region{*this, body};
    executor_.run(&Region<std::remove_reference_t<Body>>::enter, &region);
  }

 private:
  template <class Body>
  struct Region {
    Team& team;
    Body& body;

    static void enter(void* region, unsigned index, unsigned count) {
      auto& self = *static_cast<Region*>(region);
      Member member(self.team, index, count);
      self.body(member);
    }
  };

  /// About 0.1 ms: longer than operations differ, short enough not to matter when another process has the
  /// core.
  static constexpr int kSpins = 2000;

  unsigned threads_;
  int spins_ = kSpins;  ///< of a member at a barrier before it sleeps
  Executor executor_;
  std::vector<MemberClaims> claims_;
  alignas(64) std::atomic<std::uint32_t> arrived_{0};
  alignas(64) std::atomic<std::uint32_t> generation_{0};  ///< counts completed barriers
};

}  // namespace tandem::cpu
