#pragma once

#include "backends/cuda/multiply.h"

namespace tandem::cuda {

/// As `multiply` for a matrix of a block type, to the bit, made for many rows.
void multiply_many(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y);

}  // namespace tandem::cuda
