#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Activation rows as integers, for weights of block types: x[r][i] ~ scales[r][i / 32] * quants[r][i], sums
/// are those of 16 quants.  A row of `in` elements (a multiple of 32) takes 40 bytes for 32 of them.
struct QuantisedRows {
  std::int8_t* quants = nullptr;  ///< (rows, in), at a multiple of 16 bytes
  float* scales = nullptr;        ///< (rows, in / 32)
  std::int16_t* sums = nullptr;   ///< (rows, in / 16), at a multiple of 4 bytes

  /// Rows of `in` elements in `bytes`, which hold `rows` * `in` / 32 * 40 bytes.
  static QuantisedRows in_bytes(std::byte* bytes, std::uint32_t rows, std::uint32_t in) noexcept;
};

/// The same activations in both forms; what a matrix does not want may be null.
struct ProductInput {
  const float* x = nullptr;  ///< (rows, in)
  QuantisedRows quantised;
  std::uint32_t rows = 0;
};

/// Whether weights of this type multiply fp32 activations; all others multiply quantised rows.
constexpr bool takes_floats(device::BlockType type) noexcept {
  return device::multiplies_floats(type);
}

/// y (rows, w.out) = x W^T.  `w` lies on the device in planes (plane_layout.h), of a known type, `in` a
/// multiple of its block and of 8, fewer than 2^32 blocks.  What a row gives does not depend on the other
/// rows.
void multiply(Stream& stream, const device::Matrix& w, const ProductInput& input, float* y);

}  // namespace tandem::cuda
