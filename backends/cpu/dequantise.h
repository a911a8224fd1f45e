#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/device.h"

namespace tandem::cpu {

/// Elements of a block: 32, 256, or 1 for F32, F16 and BF16; 0 for a type this backend does not know.
std::uint32_t block_elems(device::BlockType type) noexcept;

/// Bytes of a block; 0 for a type this backend does not know.
std::uint32_t block_bytes(device::BlockType type) noexcept;

/// Bytes of a row of `elems` elements, a multiple of block_elems(type); 0 for an unknown type.
std::size_t row_bytes(device::BlockType type, std::uint32_t elems) noexcept;

/// `elems` values of a row (a multiple of block_elems(type)) as fp32, bit for bit what the gguf package
/// gives: scale and sub-scale are multiplied first, then times the quant, then the minimum is added
/// (model-spec 4.3).
void dequantise(device::BlockType type, const std::byte* row, std::uint32_t elems, float* values) noexcept;

/// Row `row` of a matrix in either layout as fp32, (w.in) values.
void dequantise_row(const device::Matrix& w, std::uint32_t row, float* values) noexcept;

}  // namespace tandem::cpu
