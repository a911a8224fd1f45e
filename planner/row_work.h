#pragma once

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Elements of activations that a row takes through a unit, beside the arithmetic of its matrices; by what a
/// CPU does with them (ElementRates).
struct RowElems {
  double norms = 0;  ///< read by norms, the conversion to integers and the sum of both ends of a half
  double heads = 0;  ///< of queries, keys and values normed, rotated and stored, of the result converted
  double heads_begun = 0;  ///< heads of those
  double geglu = 0;        ///< of GeGLU's result
  double inputs = 0;       ///< of matrices' inputs
  double outputs = 0;      ///< of matrices' outputs
  double logits = 0;       ///< capped
};

RowElems row_elems(const ModelInput& model, UnitRef unit);

/// Time of `rows` rows of `elems`.  Norms go by whole rows: `threads`, if known (not 0), wait for the one
/// that has most of them.  What has no rate takes no time.
double row_work_us(const RowElems& elems, const ElementRates& rates, double rows, double threads);

}  // namespace tandem::planner
