#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <span>
#include <vector>

#include "backends/cpu/affinity.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/pace.h"

namespace tandem::calibration {

/// How fast `threads` of them read memory at once.
struct ReadSpeed {
  unsigned threads = 0;
  double gb_per_s = 0;
};

/// How fast all cores read memory of one NUMA node.
struct NodeSpeed {
  unsigned node = 0;
  double gb_per_s = 0;
};

/// Bytes of the largest cache; 0 where nobody says.
std::size_t largest_cache_bytes();

/// 1, 2, 4 ... and `all`.
std::vector<unsigned> thread_counts(unsigned all);

/// A way to read a piece of memory: in so many streams, asking for each line so far ahead.
using Reading = void (*)(std::span<const std::byte> piece);

/// All ways there are: machines differ in which one is fastest.
std::span<const Reading> readings() noexcept;

/// Reads all of `memory` once, piece by piece, shared among a team's members.
void read_all(cpu::Team::Member& member, Reading reading, std::span<const std::byte> memory) noexcept;

/// Seconds to read all of `memory` with `team`, piece by piece, in whichever way this machine reads fastest.
double read_s(Pace& pace, cpu::Team& team, std::span<const std::byte> memory);

/// What `make` makes, where the daemon puts what a team of `threads` reads: next to its cores, spread over
/// all of their nodes.
template <class Make>
auto made_for_team(unsigned threads, const Make& make) {
  // On a thread of its own, so that nothing else is bound.
  return std::async(std::launch::async,
                    [&] {
                      const cpu::Cores cores;
                      cores.keep_this_thread_with_team(threads);
                      cores.spread_memory_over_team(threads);
                      return make();
                    })
      .get();
}

/// Threads that are worth it of `all`, of which `socket` are on one socket: one socket's where reading by
/// `gb_per_s` is no faster with all.
unsigned worthwhile_threads(unsigned socket, unsigned all, const std::function<double(unsigned)>& gb_per_s);

/// The size of a team that nobody gave one: a thread for each core, or for each of the first socket where
/// `bytes` of memory, spread over the nodes of whoever reads it, are read no faster across sockets.
unsigned team_size(Pace& pace, std::size_t bytes);

/// Reading `memory`, made for all, with 1, 2, 4 ... `all` threads, each on a core of its own; with `all`
/// however late it is.  Fewer threads that are next to fewer nodes read memory of those.
std::vector<ReadSpeed> read_speeds(Pace& pace, std::span<const std::byte> memory, unsigned all);

/// Reading `bytes` of every NUMA node with all cores; nothing where nodes cannot be told apart.
std::vector<NodeSpeed> node_speeds(Pace& pace, std::size_t bytes, unsigned all);

}  // namespace tandem::calibration
