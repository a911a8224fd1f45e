#pragma once

#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::planner {

/// The head's matrix has a float type: it can be stored as another one at load.
bool has_float_head(const ModelInput& model);

/// `model` with the head that `type` asks for, as it is after loading; unchanged for `keep` and for a head
/// that is quantised in the file.  Throws BadQuestion where rows are not whole blocks of the type.
ModelInput with_head_type(ModelInput model, HeadType type);

}  // namespace tandem::planner
