#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "model/gguf.h"
#include "model/hyperparameters.h"

namespace tandem::bench {

/// Standard deviation of a matrix's random weights: 1/sqrt(inputs) keeps the size of what it multiplies.
float matrix_deviation(const model::TensorInfo& matrix);

/// The elements of one F32 vector.  Norms are chosen so that attention is neither flat nor one-hot, the
/// residual stream keeps its size over any number of layers, and logits spread by a few units.
std::vector<float> vector_weights(const model::TensorInfo& vector,
                                  const model::Hyperparameters& hyperparameters, std::uint64_t seed);

}  // namespace tandem::bench
