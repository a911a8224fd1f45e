#pragma once

#include "model/gguf.h"

namespace tandem::test_support {

/// The same model with every tensor as the floats that its blocks stand for, in memory.
model::Header in_floats(const model::Header& header);

}  // namespace tandem::test_support
