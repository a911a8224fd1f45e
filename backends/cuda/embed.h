#pragma once

#include <cstdint>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// x[r] = row tokens[r] of the table times the scale, for `rows` rows.  Table, tokens and x are on the
/// device.
void embed(Stream& stream, const device::Embedding& embedding, const std::int32_t* tokens, std::uint32_t rows,
           float* x);

}  // namespace tandem::cuda
