#pragma once

#include "model/gguf.h"

namespace tandem::test_support {

/// The same model with every tensor as the floats that its blocks stand for, in memory.
model::Header in_floats(const model::Header& header);

/// The same model with every matrix of floats as blocks of `type` (model::can_quantise), in memory.
model::Header in_blocks(const model::Header& header, model::TensorType type);

}  // namespace tandem::test_support
