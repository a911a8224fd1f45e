#pragma once

#include <cstdint>

#include "backends/cuda/multiply.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// What `finish_and_norm` does with each row of x (rows, width); null leaves a part out.
struct RowStep {
  float* x = nullptr;                ///< residual stream, changed in place if `projected` is there
  const float* projected = nullptr;  ///< x = (x + rms(projected) * post_norm) * scale
  const float* post_norm = nullptr;  ///< (width)
  float scale = 1.0f;
  const float* norm = nullptr;                 ///< (width); normed = rms(x) * norm
  float* normed = nullptr;                     ///< (rows, width)
  QuantisedRows quantised;                     ///< normed once more, as integers
  const std::uint32_t* row_indices = nullptr;  ///< output row r is of x[row_indices[r]]; null = of x[r]
  std::uint32_t width = 0;                     ///< a multiple of 32 where rows are quantised
  float eps = 1e-6f;
};

/// Ends one unit and begins the next: residual addition, post-norm, norm and quantiser in one pass over rows.
void finish_and_norm(Stream& stream, const RowStep& step, std::uint32_t rows);

/// gate = gelu_tanh(gate) * up for (rows, width), and that as integers unless `quantised` is null.
void gelu_multiply(Stream& stream, float* gate, const float* up, const QuantisedRows& quantised,
                   std::uint32_t rows, std::uint32_t width);

/// (rows, width) as integers: scale = amax / 127, quants to nearest, halves away from zero.
void quantise(Stream& stream, const float* x, const QuantisedRows& quantised, std::uint32_t rows,
              std::uint32_t width);

/// x = cap * tanh(x / cap) for n elements.
void softcap(Stream& stream, float* x, std::uint64_t n, float cap);

}  // namespace tandem::cuda
