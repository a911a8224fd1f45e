#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "planner/bound.h"

namespace tandem::planner {

struct LabelResult {
  std::optional<std::vector<std::uint8_t>> sides;  ///< faster than what was known; nothing if none is
  Picoseconds time_ps = 0;
  bool complete = true;  ///< false: stopped as no labels were left
};

/// The fastest placement of a case that fits, if it takes less than `known_ps`: dynamic programme over the
/// units in the order they run.  A label is what the units so far take and the device they end on; one that
/// takes no less of anything than another with the same device is dropped, and so is one whose bound is no
/// less than the best known time.  Layers come in few kinds, so most labels are alike.  Those that are kept
/// count off `labels_left`.
LabelResult search_labels(const CaseCosts& costs, const Bound& bound, Picoseconds known_ps,
                          std::size_t& labels_left);

}  // namespace tandem::planner
