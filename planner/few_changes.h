#pragma once

#include <cstdint>

#include "planner/bound.h"

namespace tandem::planner {

/// Placements with so few changes of side are so few that all can be gone through: where the devices are
/// about equally fast, the best one is often among them.
inline constexpr std::uint32_t kFewChanges = 3;

/// The fastest placement of a case that fits and has at most kFewChanges, if it takes less than `known_ps`.
SearchResult search_few_changes(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps);

/// A lower bound to the time of every placement of a case that fits and has more.
Bound bound_beyond_few_changes(const CaseCosts& costs);

}  // namespace tandem::planner
