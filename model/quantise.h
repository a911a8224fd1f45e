#pragma once

#include <cstddef>
#include <span>

#include "model/tensor_type.h"

namespace tandem::model {

/// Can rows of `from` be stored as `to` by quantise_row?  From F32, F16 and BF16 to Q8_0 and Q6_K.
bool can_quantise(TensorType from, TensorType to) noexcept;

/// Stores a row of `from` as blocks of `to` (model-spec 4).  Elements are whole blocks of `to`, finite, and
/// at most 65504 in magnitude.
///  - Q8_0: the scale is the largest magnitude over 127; elements to nearest, halves away from zero.
///  - Q6_K: each 16 elements have the scale, of a few around the one that takes the largest magnitude to the
///    end of the range, that leaves the least squared error; scales are rounded to 8 bits of the largest.
void quantise_row(TensorType from, std::span<const std::byte> row, TensorType to,
                  std::span<std::byte> blocks) noexcept;

}  // namespace tandem::model
