#pragma once

#include <cstddef>
#include <vector>

#include "planner/bound.h"

namespace tandem::planner {

/// The fastest placement of a case that fits, if it takes less than `known_ps`: dynamic programme over the
/// units in the order they run.  A label is what the units so far take and the device they end on; it is
/// dropped if it exceeds one of `bounds`, which are of this case, the best one first, or takes no less of
/// anything than a neighbour.  Labels stay in the order of their bytes (or times): both ways to go on add the
/// same to all of them, so two fronts are merged, not sorted, and what differs in time alone stays next to
/// each other. Where only time and VRAM count, that leaves the Pareto front.
///
/// Those that are kept count off `labels_left`; where none are left the search is not complete.
SearchResult search_labels(const CaseCosts& costs, const std::vector<Bound>& bounds, Picoseconds known_ps,
                           std::size_t& labels_left);

}  // namespace tandem::planner
