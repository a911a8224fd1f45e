#pragma once

// How weights lie on the device.  A GGUF block of 18 or 210 bytes cannot be read sixteen bytes at a time, so
// a matrix is taken apart into planes: first the largest part of every block, one after another, then the
// next part of every block.  It takes the same number of bytes as in the file.

#include <cstddef>
#include <cstdint>

#include "backends/device.h"

namespace tandem::cuda {

/// A part of a block that has a plane of its own.
struct BlockPart {
  std::uint32_t at;     ///< its first byte in the GGUF block
  std::uint32_t bytes;  ///< 0 = no such part
};

constexpr std::uint32_t kMaxParts = 4;

/// A block type's parts in the order of their planes.
struct PlaneLayout {
  std::uint32_t block_elems;  ///< 0 = a type that this backend does not know
  std::uint32_t block_bytes;
  BlockPart parts[kMaxParts];
};

PlaneLayout plane_layout(device::BlockType type) noexcept;

/// What blocks have beside their largest part, which is the first.
constexpr std::uint32_t other_bytes(const PlaneLayout& layout) noexcept {
  return layout.block_bytes - layout.parts[0].bytes;
}

/// Takes `n` blocks apart, which begin `n * other_bytes` bytes behind `memory`: from `memory` on there is the
/// second part of every block afterwards, one after another, then the third and the fourth part, then the
/// first.  The blocks are gone.
void take_apart(const PlaneLayout& layout, std::uint64_t n, std::byte* memory) noexcept;

/// Copies one part of `n` blocks, which begin at `from`, one after another.
void gather_part(const PlaneLayout& layout, const BlockPart& part, const std::byte* from, std::uint64_t n,
                 std::byte* to) noexcept;

}  // namespace tandem::cuda
