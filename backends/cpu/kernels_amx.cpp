// The kernels of avx512-vnni, and tiles where there are many activation rows.  Tried and lost: tiles for
// groups of sixteen (Q6_K, Q2_K, Q3_K), which use half of a tile instruction, and for fewer than 32 rows.

#include "backends/cpu/tiles.h"

namespace tandem::cpu {

extern const KernelSet kAvx512VnniKernels;

namespace {

/// Fewer rows are multiplied sooner without tiles.
constexpr std::uint32_t kFewestRows = 32;

constexpr std::size_t number(device::BlockType type) {
  return static_cast<std::size_t>(type);
}

template <class Format>
void multiply_blocks(const device::Matrix& w, std::uint32_t first_out, std::uint32_t n_out,
                     const Activations& x, float* y, std::size_t y_stride) noexcept {
  const std::uint32_t tiles = x.n >= kFewestRows ? n_out / kTileOutputs : 0;
  const std::uint32_t on_tiles = tiles * kTileOutputs;
  if (tiles > 0) {
    const std::size_t row_bytes = w.in / static_cast<std::size_t>(Format::kElems) * Format::kBytes;
    const auto* first = static_cast<const std::uint8_t*>(w.data) + first_out * row_bytes;
    multiply_blocks_on_tiles<Format>(first, row_bytes, w.in, tiles, x, y + first_out, y_stride);
  }
  if (on_tiles == n_out) return;
  kAvx512VnniKernels.multiply[number(Format::kType)](w, first_out + on_tiles, n_out - on_tiles, x, y,
                                                     y_stride);
}

KernelSet make_set() noexcept {
  KernelSet set = kAvx512VnniKernels;
  set.name = "amx-int8";
  for_each_block_format([&](auto format) {
    if constexpr (format.kGroup == 32) set.multiply[number(format.kType)] = multiply_blocks<decltype(format)>;
  });
  return set;
}

}  // namespace

const KernelSet& amx_int8_kernels() noexcept {
  static const KernelSet set = make_set();
  return set;
}

}  // namespace tandem::cpu
