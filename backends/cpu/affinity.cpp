#include "backends/cpu/affinity.h"

#include <algorithm>
#include <thread>
#include <vector>

#include <hwloc.h>

#include "backends/cpu/cpu_quota.h"

namespace tandem::cpu {
namespace {

struct DestroyTopology {
  void operator()(hwloc_topology_t topology) const noexcept { hwloc_topology_destroy(topology); }
};
using Topology = std::unique_ptr<hwloc_topology, DestroyTopology>;

struct FreeBitmap {
  void operator()(hwloc_bitmap_t bitmap) const noexcept { hwloc_bitmap_free(bitmap); }
};
using Bitmap = std::unique_ptr<hwloc_bitmap_s, FreeBitmap>;

Topology load_topology() {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  Topology topology(raw);
  if (hwloc_topology_load(raw) != 0) return nullptr;
  return topology;
}

}  // namespace

struct Cores::Impl {
  Topology topology;
  std::vector<Bitmap> places;    ///< one hardware thread of each core, socket after socket
  std::size_t first_socket = 0;  ///< places of the first socket
  unsigned quota = cpu_quota();

  /// Those of a team's threads.
  [[nodiscard]] Bitmap places_of_team(unsigned threads) const {
    Bitmap all(hwloc_bitmap_alloc());
    for (std::size_t i = 0; i < std::min<std::size_t>(threads, places.size()); ++i) {
      hwloc_bitmap_or(all.get(), all.get(), places[i].get());
    }
    return all;
  }

  [[nodiscard]] Bitmap nodes_of_team(unsigned threads) const {
    Bitmap nodes(hwloc_bitmap_alloc());
    if (topology) hwloc_cpuset_to_nodeset(topology.get(), places_of_team(threads).get(), nodes.get());
    return nodes;
  }
};

Cores::Cores() : impl_(std::make_unique<Impl>()) {
  impl_->topology = load_topology();
  if (!impl_->topology) return;
  hwloc_topology_t topology = impl_->topology.get();
  const Bitmap usable(hwloc_bitmap_alloc());
  if (hwloc_get_cpubind(topology, usable.get(), HWLOC_CPUBIND_PROCESS) != 0) {
    hwloc_bitmap_copy(usable.get(), hwloc_topology_get_allowed_cpuset(topology));
  }
  const hwloc_obj* socket = nullptr;
  const int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
  for (int i = 0; i < cores; ++i) {
    Bitmap place(hwloc_bitmap_alloc());
    const hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
    hwloc_bitmap_and(place.get(), core->cpuset, usable.get());
    if (hwloc_bitmap_iszero(place.get())) continue;
    hwloc_bitmap_singlify(place.get());
    const auto* const own_socket = hwloc_get_ancestor_obj_by_type(topology, HWLOC_OBJ_PACKAGE, core);
    if (impl_->places.empty()) socket = own_socket;
    if (own_socket == socket) ++impl_->first_socket;
    impl_->places.push_back(std::move(place));
  }
}

Cores::~Cores() = default;

unsigned Cores::count() const noexcept {
  const auto cores = impl_->places.empty() ? std::thread::hardware_concurrency()
                                           : static_cast<unsigned>(impl_->places.size());
  return std::max(1u, std::min(cores, impl_->quota));
}

unsigned Cores::of_first_socket() const noexcept {
  return impl_->places.empty() ? count() : std::min(count(), static_cast<unsigned>(impl_->first_socket));
}

bool Cores::pin_this_thread(unsigned index) const noexcept {
  if (impl_->places.empty()) return false;
  const Bitmap& place = impl_->places[index % impl_->places.size()];
  return hwloc_set_cpubind(impl_->topology.get(), place.get(), HWLOC_CPUBIND_THREAD) == 0;
}

bool Cores::keep_this_thread_with_team(unsigned threads) const noexcept {
  if (impl_->places.empty()) return false;
  const auto places = impl_->places_of_team(threads);
  return hwloc_set_cpubind(impl_->topology.get(), places.get(), HWLOC_CPUBIND_THREAD) == 0;
}

bool Cores::spread_memory_over_team(unsigned threads) const noexcept {
  const auto nodes = impl_->nodes_of_team(threads);
  if (hwloc_bitmap_weight(nodes.get()) < 2) return false;
  constexpr int kThread = HWLOC_MEMBIND_THREAD | HWLOC_MEMBIND_BYNODESET;
  hwloc_topology_t topology = impl_->topology.get();
  const Bitmap known(hwloc_bitmap_alloc());
  hwloc_membind_policy_t policy = HWLOC_MEMBIND_MIXED;
  if (hwloc_get_membind(topology, known.get(), &policy, kThread) != 0) return false;
  if (policy != HWLOC_MEMBIND_DEFAULT && policy != HWLOC_MEMBIND_FIRSTTOUCH) return false;
  return hwloc_set_membind(topology, nodes.get(), HWLOC_MEMBIND_INTERLEAVE, kThread) == 0;
}

std::vector<unsigned> Cores::nodes_of_team(unsigned threads) const {
  const auto nodes = impl_->nodes_of_team(threads);
  std::vector<unsigned> numbers;
  for (int node = hwloc_bitmap_first(nodes.get()); node >= 0; node = hwloc_bitmap_next(nodes.get(), node)) {
    numbers.push_back(static_cast<unsigned>(node));
  }
  return numbers;
}

}  // namespace tandem::cpu
