#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "planner/bound.h"

namespace tandem::planner {

/// Units that are alike: they take the same bytes and the same time, and need the same buffers.
struct AlikeUnits {
  UnitBytes bytes;
  std::array<Picoseconds, 2> unit_ps{};  ///< by side
  std::uint32_t units = 0;
};

/// The units of a search by what they are like.
struct UnitKinds {
  std::vector<AlikeUnits> kinds;
  std::vector<std::uint32_t> of_unit;  ///< index into kinds
};

UnitKinds unit_kinds(const CaseCosts& costs);

/// Of each kind, how many units are on the GPU.
using Counts = std::vector<std::uint32_t>;

/// What placements with the same counts still differ in: the side of the first unit, and how often the unit
/// after one, or the head, is on the other side.  An even number of changes leads back to `first`.
struct Arrangement {
  std::size_t first = kOnCpu;
  std::uint32_t changes = 0;
};

/// What a placement takes: bytes follow from its counts, times from its counts and how it is arranged.
Spent spent_by(const CaseCosts& costs, const UnitKinds& kinds, const Counts& counts, Arrangement arrangement);

}  // namespace tandem::planner
