#include "memory/vram_at_start.h"

#include "planner/size_text.h"

namespace tandem::memory {

using planner::grouped;
using planner::Purpose;

std::string VramAtStart::shortage() const {
  if (needed_bytes > free_bytes) {
    return "the plan takes " + grouped(needed_bytes) + " bytes of VRAM, " + grouped(free_bytes) + " are free";
  }
  if (driver_bytes > driver_planned_bytes) {
    return "the driver takes " + grouped(driver_bytes) + " bytes of VRAM, planned are " +
           grouped(driver_planned_bytes);
  }
  return {};
}

VramAtStart vram_at_start(const planner::Plan& plan, const device::MemoryInfo& memory) {
  VramAtStart vram;
  vram.free_bytes = memory.free_bytes;
  // Plans for an emulated device have no driver's line, also where a GPU stands in for it.
  if (planner::gpu_of(plan) == planner::Device::cuda0) vram.driver_bytes = memory.driver_bytes;
  for (const auto& line : plan.arenas) {
    if (line.device == planner::Device::cpu || line.purpose == Purpose::reserve) continue;
    (line.purpose == Purpose::driver ? vram.driver_planned_bytes : vram.needed_bytes) += line.bytes;
  }
  return vram;
}

}  // namespace tandem::memory
