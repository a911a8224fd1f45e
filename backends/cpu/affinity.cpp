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
  std::vector<Bitmap> places;  ///< one hardware thread of each core
  unsigned quota = cpu_quota();
};

Cores::Cores() : impl_(std::make_unique<Impl>()) {
  impl_->topology = load_topology();
  if (!impl_->topology) return;
  hwloc_topology_t topology = impl_->topology.get();
  const Bitmap usable(hwloc_bitmap_alloc());
  if (hwloc_get_cpubind(topology, usable.get(), HWLOC_CPUBIND_PROCESS) != 0) {
    hwloc_bitmap_copy(usable.get(), hwloc_topology_get_allowed_cpuset(topology));
  }
  const int cores = hwloc_get_nbobjs_by_type(topology, HWLOC_OBJ_CORE);
  for (int i = 0; i < cores; ++i) {
    Bitmap place(hwloc_bitmap_alloc());
    const hwloc_obj_t core = hwloc_get_obj_by_type(topology, HWLOC_OBJ_CORE, static_cast<unsigned>(i));
    hwloc_bitmap_and(place.get(), core->cpuset, usable.get());
    if (hwloc_bitmap_iszero(place.get())) continue;
    hwloc_bitmap_singlify(place.get());
    impl_->places.push_back(std::move(place));
  }
}

Cores::~Cores() = default;

unsigned Cores::count() const noexcept {
  const auto cores = impl_->places.empty() ? std::thread::hardware_concurrency()
                                           : static_cast<unsigned>(impl_->places.size());
  return std::max(1u, std::min(cores, impl_->quota));
}

bool Cores::pin_this_thread(unsigned index) const noexcept {
  if (impl_->places.empty()) return false;
  const Bitmap& place = impl_->places[index % impl_->places.size()];
  return hwloc_set_cpubind(impl_->topology.get(), place.get(), HWLOC_CPUBIND_THREAD) == 0;
}

}  // namespace tandem::cpu
