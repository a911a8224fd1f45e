#pragma once

#include <cstddef>

#include "planner/bound.h"

namespace tandem::planner {

/// The fastest placement of a case that fits, if it takes less than `known_ps`: dynamic programme over the
/// units in the order they run.  A label is what the units so far take and the device they end on; one that
/// takes no less of anything than another with the same device is dropped, and so is one whose bound is no
/// less than the best known time.  Layers come in few kinds, so most labels are alike.  Those that are kept
/// count off `labels_left`.
SearchResult search_labels(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps,
                           std::size_t& labels_left);

}  // namespace tandem::planner
