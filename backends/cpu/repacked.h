#pragma once

// Weights repacked as the integer kernels read them: sixteen rows of W in the lanes of a register without any
// shuffling, and in the order in which a CPU reads its memory fastest.  All is in the same bytes as in the
// file.
//
// Sixteen rows are panels of 256 columns.  In a panel, a row's blocks are fields of sixteen bytes and, where
// blocks are no multiple of sixteen bytes, small fields before or behind those.  A field of sixteen rows
// takes 256 bytes,
//
//     (4 words of 4 bytes) x (16 rows),   word i of row r at byte 64 i + 4 r.
//
// The small fields of sixteen rows are bytes [o, o + n) of a block's small fields, n = 4 where there are as
// many, else 1 or 2, at 16 o + n r.
//
// WeightLayout::panels: sixteen rows after sixteen rows, panel after panel, block after block the fields,
// then block after block the small fields.  One long stream.
//
// WeightLayout::planes: rows are taken in slabs of 128, and each field of the blocks in a panel has a plane
// of its own: what all panels of the slab have there, sixteen rows after sixteen rows.  The last plane has
// the small fields, those of a panel together, block after block.  Six to seventeen streams at once.
//
// Float types have no blocks.  In panels, fields are sixteen columns of a row: those of sixteen rows one
// after the other, then those of the next sixteen columns.  In planes their rows lie as in the file, each a
// stream.
//
// Which is faster differs from CPU to CPU (bench/results/2026-11-roofline.md, "One stream"), and so
// may how panels are best asked for ("Asked for twice").

#include "backends/device.h"

namespace tandem::cpu {

/// Rows in the lanes of a register and columns of a panel.
inline constexpr std::uint32_t kLaneRows = 16;
inline constexpr std::uint32_t kPackedColumns = 256;

/// Columns of a field of a float type.
inline constexpr std::uint32_t kFloatFieldElems = 16;

/// Rows of a slab of planes, and how many times sixteen those are.
inline constexpr std::uint32_t kSlabGroups = 8;
inline constexpr std::uint32_t kSlabRows = kSlabGroups * kLaneRows;

/// Repack all types, matrices of whole panels and times sixteen rows.
const device::Repacker& plane_repacker() noexcept;
const device::Repacker& panel_repacker() noexcept;

/// The one whose layout this CPU reads fastest: panels on AMD's, planes on other x86 CPUs.  Elsewhere, where
/// nobody has measured, panels: one stream asks least of a CPU.
const device::Repacker& best_repacker() noexcept;

/// Whether rows of `w` lie one after the other as in the file, as those of floats do in planes.
bool lies_in_rows(const device::Matrix& w) noexcept;

/// Copies blocks [first, first + n) of a row of a repacked matrix, to what they are in the file.
void blocks_from_repacked(const device::Matrix& w, std::uint32_t row, std::uint32_t first, std::uint32_t n,
                          std::byte* to) noexcept;

}  // namespace tandem::cpu
