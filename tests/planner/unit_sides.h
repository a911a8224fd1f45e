#pragma once

#include "planner/unit_counts.h"
#include "tests/planner/small_searches.h"

namespace tandem::planner_test {

/// Of each kind, how many units are on the GPU.
inline planner::Counts counts_of(const planner::UnitKinds& kinds, const Sides& sides) {
  planner::Counts counts(kinds.kinds.size());
  for (std::size_t i = 0; i < sides.size(); ++i) counts[kinds.of_unit[i]] += sides[i];
  return counts;
}

/// How the units, and after them the head, change sides.
inline planner::Arrangement arrangement_of(const Sides& sides, std::size_t head) {
  planner::Arrangement arrangement{sides.front(), sides.back() == head ? 0U : 1U};
  for (std::size_t i = 1; i < sides.size(); ++i) arrangement.changes += sides[i] == sides[i - 1] ? 0 : 1;
  return arrangement;
}

}  // namespace tandem::planner_test
