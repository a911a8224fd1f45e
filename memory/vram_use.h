#pragma once

#include <algorithm>
#include <cstdint>

namespace tandem::memory {

/// What was allocated on an accelerator, beside what the driver says.
struct VramUse {
  std::uint64_t taken_bytes = 0;  ///< by which free memory shrank
  std::uint64_t allocated_bytes = 0;
  std::uint64_t allocations = 0;

  /// To within the pieces that a driver takes memory in, 2 MiB, for each allocation: it rounds up, and has
  /// room for small ones in a piece that it took before.
  [[nodiscard]] bool agree() const noexcept {
    const auto piece_bytes = std::uint64_t{2} << 20;
    const auto off_bytes = std::max(taken_bytes, allocated_bytes) - std::min(taken_bytes, allocated_bytes);
    return off_bytes <= allocations * piece_bytes;
  }
};

}  // namespace tandem::memory
