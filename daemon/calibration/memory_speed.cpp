#include "daemon/calibration/memory_speed.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <future>
#include <iterator>
#include <limits>
#include <memory>
#include <numeric>

#include <hwloc.h>

#include "hardware/caches.h"

namespace tandem::calibration {
namespace {

constexpr std::size_t kPieceBytes = std::size_t{1} << 18;

/// Where sums go, so that nobody leaves out the reading.
std::atomic<std::uint64_t> sink{0};

/// Adds up a piece in so many streams, asking for memory well ahead: what counts is how fast it comes.
template <std::size_t kStreams, std::size_t kAheadBytes>
std::uint64_t sum_of(std::span<const std::byte> piece) {
  constexpr std::size_t kLineBytes = 64;
  std::uint64_t lanes[kLineBytes / sizeof(std::uint64_t)] = {};
  std::uint64_t words[std::size(lanes)];
  const auto stream_bytes = piece.size() / kStreams;
  for (std::size_t at = 0; at + kLineBytes <= stream_bytes; at += kLineBytes) {
    for (std::size_t stream = 0; stream < kStreams; ++stream) {
      const auto* const line = piece.data() + stream * stream_bytes + at;
      __builtin_prefetch(line + kAheadBytes);
      std::memcpy(words, line, kLineBytes);
      for (std::size_t lane = 0; lane < std::size(lanes); ++lane) lanes[lane] += words[lane];
    }
  }
  return std::accumulate(std::begin(lanes), std::end(lanes), std::uint64_t{0});
}

/// Eight streams, as the kernels read repacked weights, and sixteen were a fifth slower on a Sapphire Rapids;
/// front to back is a quarter faster than eight on a Zen 5.
constexpr std::array kSums{&sum_of<8, 512>, &sum_of<1, 2048>};

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

double read_s(Pace& pace, cpu::Team& team, std::span<const std::byte> memory) {
  const auto pieces = (memory.size() + kPieceBytes - 1) / kPieceBytes;
  const auto seconds_with = [&](std::uint64_t (*sum)(std::span<const std::byte>)) {
    return pace.median_s([&] {
      team.run([&](cpu::Team::Member& member) {
        member.for_each(pieces, [&](std::size_t i) {
          const auto first = i * kPieceBytes;
          sink += sum(memory.subspan(first, std::min(kPieceBytes, memory.size() - first)));
        });
      });
    });
  };
  auto shortest_s = std::numeric_limits<double>::infinity();
  for (const auto& sum : kSums) shortest_s = std::min(shortest_s, seconds_with(sum));
  return shortest_s;
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
    speeds.push_back({threads, speed_of(pace, memory, threads)});
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
