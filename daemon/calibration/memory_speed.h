#pragma once

#include <cstddef>
#include <span>
#include <vector>

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

/// Reading `memory` with 1, 2, 4 ... `all` threads, each on a core of its own; with `all` however late it is.
std::vector<ReadSpeed> read_speeds(Pace& pace, std::span<const std::byte> memory, unsigned all);

/// Reading `bytes` of every NUMA node with all cores; nothing where nodes cannot be told apart.
std::vector<NodeSpeed> node_speeds(Pace& pace, std::size_t bytes, unsigned all);

}  // namespace tandem::calibration
