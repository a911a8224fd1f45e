#pragma once

#include <cstdint>
#include <string>

#include "backends/device.h"
#include "planner/plan.h"

namespace tandem::memory {

/// What a plan counts on of a GPU's memory, beside what is there before anything is allocated.
struct VramAtStart {
  std::uint64_t needed_bytes = 0;  ///< of the plan's arenas; a reserve is not allocated
  std::uint64_t free_bytes = 0;
  std::uint64_t driver_planned_bytes = 0;
  std::uint64_t driver_bytes = 0;  ///< measured; 0 where the plan is for an emulated device

  [[nodiscard]] bool enough() const noexcept {
    return needed_bytes <= free_bytes && driver_bytes <= driver_planned_bytes;
  }
  /// What is too little, in words; empty if enough.
  [[nodiscard]] std::string shortage() const;
};

VramAtStart vram_at_start(const planner::Plan& plan, const device::MemoryInfo& memory);

}  // namespace tandem::memory
