#pragma once

#include <memory>
#include <vector>

namespace tandem::cpu {

/// The physical cores this process may use, and how to stay on one of them.
class Cores {
 public:
  Cores();
  ~Cores();
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;

  /// Physical cores of which the process may use at least one hardware thread, or as many as its CPU quota
  /// can keep busy if that is less; at least 1.
  [[nodiscard]] unsigned count() const noexcept;

  /// How many of them are on the first core's socket.  Teams of no more threads stay there.
  [[nodiscard]] unsigned of_first_socket() const noexcept;

  /// Binds the calling thread to one hardware thread of core `index` (modulo the cores).  False if the
  /// machine or its settings do not allow it.
  bool pin_this_thread(unsigned index) const noexcept;

  /// Keeps the calling thread, and those that it starts from now on, to the cores that a team of `threads` is
  /// pinned to.  False as above.
  bool keep_this_thread_with_team(unsigned threads) const noexcept;

  /// Spreads what the calling thread, and those that it starts from now on, touch or read first, page by page
  /// over `nodes_of_team`: its own memory, and pages of mapped files that were not in memory yet.  A team's
  /// threads claim pieces as they become free, so no piece has a thread, and no node, that it belongs to;
  /// what a step reads has to come from all nodes at once.  False where there is one node, where somebody has
  /// said already where memory is to come from, and as above.
  bool spread_memory_over_team(unsigned threads) const noexcept;

  /// The system's numbers of the NUMA nodes next to the cores of a team of `threads`, ascending.
  [[nodiscard]] std::vector<unsigned> nodes_of_team(unsigned threads) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cpu
