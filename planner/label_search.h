#pragma once

#include <cstddef>
#include <functional>
#include <limits>
#include <vector>

#include "planner/bound.h"

namespace tandem::planner {

/// What a search by labels may still keep.
struct LabelLimits {
  std::size_t labels = 0;                                             ///< over all searches
  std::size_t abreast = std::numeric_limits<std::size_t>::max() / 4;  ///< after one unit, on one side
};

/// The fastest placement of a case that fits, if it takes less than `known_ps`: dynamic programme over the
/// units in the order they run, from both ends to where they meet.  A label is what the units so far take and
/// the device they end on; it is dropped if it exceeds one of `bounds`, which are of this case, the best one
/// first, or takes no less of anything than the one before it (planner/label_front.h).  Where only time and
/// VRAM count, that leaves the Pareto front.
///
/// What comes back searches; called again, where labels did not do, it goes on where it stopped.
/// Labels that are kept, and some pairs of those that meet, count off `left`; where none are left, or some
/// were dropped for there being too many abreast, the search is not complete, and what it found need not be
/// the fastest.
std::function<SearchResult(LabelLimits&)> label_search(const CaseCosts& costs,
                                                       const std::vector<Bound>& bounds,
                                                       Picoseconds known_ps);

}  // namespace tandem::planner
