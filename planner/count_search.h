#pragma once

#include <cstddef>

#include "planner/bound.h"

namespace tandem::planner {

/// What a search may still go through, over all cases.
struct CountLimits {
  std::size_t counts = 0;  ///< partial or whole, looked at
  std::size_t tries = 0;   ///< units placed on trial
};

/// Whether the units of a case come in few enough kinds for their counts to be numbered.
bool is_countable(const CaseCosts& costs);

/// The fastest placement of a case that fits, if it takes less than `known_ps`, by counts: bytes depend only
/// on how many units of each kind are on the GPU, and time on that and on how few changes of side will do. So
/// counts are gone through, the fastest first by a lower bound to their changes (planner/changes.h), until
/// some can be arranged with as few.  Not complete where nothing is left of `left`, or it is not countable.
SearchResult search_counts(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps,
                           CountLimits& left);

}  // namespace tandem::planner
