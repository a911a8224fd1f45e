#pragma once

// WeightLayout::planes: block types as the integer kernels read them, sixteen rows of W in the lanes of a
// register without any shuffling, and as the memory is read fastest, in six to seventeen long streams.
//
// Rows are taken in slabs of 128, each in the same bytes as in the file.  A slab is groups of sixteen rows,
// each panels of 256 columns.  In a panel, a row's blocks are fields of sixteen bytes and, where blocks are
// no multiple of sixteen bytes, small fields before or behind those.  Each field of sixteen bytes has a plane
// of its own: what all panels of the slab have there, group after group, 256 bytes a panel,
//
//     (4 words of 4 bytes) x (16 rows),   word i of row r at byte 64 i + 4 r.
//
// The last plane has the small fields, those of a panel together, block after block: bytes [o, o + n) of a
// block's small fields, n = 4 where there are as many, else 1 or 2, are at 16 o + n r.

#include "backends/device.h"

namespace tandem::cpu {

/// Rows of a group, groups of a slab, and columns of a panel.
inline constexpr std::uint32_t kPlaneRows = 16;
inline constexpr std::uint32_t kSlabGroups = 8;
inline constexpr std::uint32_t kSlabRows = kSlabGroups * kPlaneRows;
inline constexpr std::uint32_t kPlaneColumns = 256;

/// Repacks block types, matrices of whole groups and panels.
const device::Repacker& plane_repacker() noexcept;

/// Copies blocks [first, first + n) of a row of a repacked matrix, to what they are in the file.
void blocks_from_planes(const device::Matrix& w, std::uint32_t row, std::uint32_t first, std::uint32_t n,
                        std::byte* to) noexcept;

}  // namespace tandem::cpu
