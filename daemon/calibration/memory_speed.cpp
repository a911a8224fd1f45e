#include "daemon/calibration/memory_speed.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <future>
#include <limits>
#include <memory>

#include <hwloc.h>

#include "daemon/calibration/weight_block.h"
#include "hardware/caches.h"

namespace tandem::calibration {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 18;

/// What one load reads, wherever it is.
using SixteenBytes [[gnu::vector_size(16), gnu::aligned(1), gnu::may_alias]] = std::uint64_t;

/// Reads a piece in so many streams, asking for each line well ahead, or far ahead and then nearer: what
/// counts is how fast memory comes.
template <std::size_t kStreams, std::size_t kAheadBytes, std::size_t kFarBytes = 0>
void read_piece(std::span<const std::byte> piece) {
  constexpr std::size_t kLineBytes = 64, kLoadBytes = sizeof(SixteenBytes);
  const auto stream_bytes = piece.size() / kStreams;
  for (std::size_t at = 0; at + kLineBytes <= stream_bytes; at += kLineBytes) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      const auto* const line = piece.data() + stream * stream_bytes + at;
      __builtin_prefetch(line + kAheadBytes);
      if constexpr (kFarBytes != 0) __builtin_prefetch(line + kFarBytes, 0, 0);
      // Loads and nothing else: a sum of what is read took a Zen 5 as long as two lines take to come.
      for (std::size_t i = 0; i < kLineBytes; i += kLoadBytes) {
        static_cast<void>(*reinterpret_cast<const volatile SixteenBytes*>(line + i));
      }
    }
  }
}

/// Eight streams, as the kernels read repacked weights, and sixteen were a fifth slower on a Sapphire Rapids;
/// on a Zen 5 front to back is faster than eight.
constexpr std::array<Reading, 3> kReadings{&read_piece<8, 512>, &read_piece<1, 2048>,
                                           &read_piece<1, 6144, 12288>};

/// Reads with a pinned team of its own.  On a thread of its own, as pinning binds the caller too.
double speed_of(Pace& pace, std::span<const std::byte> memory, unsigned threads) {
  return std::async(std::launch::async,
                    [&] {
                      cpu::Team team(threads);
                      team.pin();
                      return static_cast<double>(memory.size()) / read_s(pace, team, memory) / 1e9;
                    })
      .get();
}

/// The same of memory as the daemon has it with so many threads; `memory` is as with `all`.
double speed_of_team(Pace& pace, std::span<const std::byte> memory, unsigned threads, unsigned all) {
  const cpu::Cores cores;
  if (cores.nodes_of_team(threads) == cores.nodes_of_team(all)) return speed_of(pace, memory, threads);
  const auto own = made_for_team(threads, [&] { return WeightBlock(memory.size()); });
  return speed_of(pace, own.bytes(), threads);
}

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

Topology load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  return hwloc_topology_load(raw) == 0 ? std::move(topology) : nullptr;
}

/// Memory of one node.
class NodeMemory {
 public:
  NodeMemory(hwloc_topology_t topology, hwloc_obj_t node, std::size_t bytes)
      : topology_(topology),
        bytes_(bytes),
        data_(hwloc_alloc_membind(topology, bytes, node->nodeset, HWLOC_MEMBIND_BIND,
                                  HWLOC_MEMBIND_BYNODESET | HWLOC_MEMBIND_STRICT)) {
    if (data_ != nullptr) std::memset(data_, 1, bytes);
  }
  ~NodeMemory() {
    if (data_ != nullptr) hwloc_free(topology_, data_, bytes_);
  }
  NodeMemory(const NodeMemory&) = delete;
  NodeMemory& operator=(const NodeMemory&) = delete;

  /// Empty where the system did not give any.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
    return {static_cast<const std::byte*>(data_), data_ == nullptr ? 0 : bytes_};
  }

 private:
  hwloc_topology_t topology_;
  std::size_t bytes_;
  void* data_;
};

}  // namespace

std::size_t largest_cache_bytes() {
  return std::ranges::max(hardware::data_cache_bytes());
}

std::vector<unsigned> thread_counts(unsigned all) {
  std::vector<unsigned> counts;
  for (unsigned n = 1; n < all; n *= 2) counts.push_back(n);
  counts.push_back(all);
  return counts;
}

std::span<const Reading> readings() noexcept {
  return kReadings;
}

void read_all(cpu::Team::Member& member, Reading reading, std::span<const std::byte> memory) noexcept {
  member.for_each((memory.size() + kPieceBytes - 1) / kPieceBytes, [&](std::size_t i) {
    const auto first = i * kPieceBytes;
    reading(memory.subspan(first, std::min(kPieceBytes, memory.size() - first)));
  });
}

double read_s(Pace& pace, cpu::Team& team, std::span<const std::byte> memory) {
  auto shortest_s = std::numeric_limits<double>::infinity();
  for (const auto reading : readings()) {
    const auto seconds = pace.median_s(
        [&] { team.run([&](cpu::Team::Member& member) { read_all(member, reading, memory); }); });
    shortest_s = std::min(shortest_s, seconds);
  }
  return shortest_s;
}

unsigned worthwhile_threads(unsigned socket, unsigned all, const std::function<double(unsigned)>& gb_per_s) {
  if (socket >= all) return all;
  return gb_per_s(all) > gb_per_s(socket) ? all : socket;
}

unsigned team_size(Pace& pace, std::size_t bytes) {
  const cpu::Cores cores;
  return worthwhile_threads(cores.of_first_socket(), cores.count(), [&](unsigned threads) {
    pace.begin_needed("memory read by " + std::to_string(threads) + " threads");
    const auto memory = made_for_team(threads, [bytes] { return WeightBlock(bytes); });
    return speed_of(pace, memory.bytes(), threads);
  });
}

std::vector<ReadSpeed> read_speeds(Pace& pace, std::span<const std::byte> memory, unsigned all) {
  std::vector<ReadSpeed> speeds;
  for (const auto threads : thread_counts(all)) {
    const auto what = "memory read by " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    if (threads == all) {
      pace.begin_needed(what);
    } else if (!pace.begin(what)) {
      continue;
    }
    speeds.push_back({threads, speed_of_team(pace, memory, threads, all)});
  }
  return speeds;
}

std::vector<NodeSpeed> node_speeds(Pace& pace, std::size_t bytes, unsigned all) {
  std::vector<NodeSpeed> speeds;
  const auto topology = load_topology();
  if (!topology) return speeds;
  for (hwloc_obj_t node = nullptr;
       (node = hwloc_get_next_obj_by_type(topology.get(), HWLOC_OBJ_NUMANODE, node)) != nullptr;) {
    if (!pace.begin("memory of NUMA node " + std::to_string(node->os_index))) break;
    const NodeMemory memory(topology.get(), node, bytes);
    if (memory.bytes().empty()) continue;
    speeds.push_back({node->os_index, speed_of(pace, memory.bytes(), all)});
  }
  return speeds;
}

}  // namespace tandem::calibration
