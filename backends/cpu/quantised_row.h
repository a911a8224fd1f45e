#pragma once

#include <cstddef>
#include <cstdint>

namespace tandem::cpu {

/// Elements that share one activation scale.
inline constexpr std::uint32_t kActivationGroup = 32;

/// Where the parts of an activation row of integers lie.  For every block type it is groups of 32 elements
/// with x[i] ~ scale[i / 32] * quant[i]; scales are fp32 and sums integers (model-spec 8, trap 1).  A group
/// takes 40 bytes, as planner/activations.h reserves: all quants (int8), then all scales (fp32), then the
/// sums of 16 quants each (int16).
struct QuantisedLayout {
  std::uint32_t elems;  ///< a multiple of 32

  constexpr std::size_t scales_at() const noexcept { return elems; }
  constexpr std::size_t sums_at() const noexcept { return std::size_t{elems} + elems / 8; }
  constexpr std::size_t row_bytes() const noexcept { return std::size_t{elems} + elems / 4; }
};

}  // namespace tandem::cpu
