#pragma once

#include <cstdint>

namespace tandem::memory {

/// What was allocated on an accelerator, beside what the driver says.
struct VramUse {
  std::uint64_t taken_bytes = 0;  ///< by which free memory shrank
  std::uint64_t allocated_bytes = 0;
  std::uint64_t allocations = 0;

  /// To within what a driver rounds an allocation up by, 2 MiB.
  [[nodiscard]] bool agree() const noexcept {
    const auto rounding_bytes = allocations * (std::uint64_t{2} << 20);
    return taken_bytes >= allocated_bytes && taken_bytes - allocated_bytes <= rounding_bytes;
  }
};

}  // namespace tandem::memory
