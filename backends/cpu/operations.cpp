#include "backends/cpu/operations.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "backends/cpu/dequantise.h"

namespace tandem::cpu {
namespace {

std::size_t tiles_of(const device::Matrix& w) {
  return (std::size_t{w.out} + kTileOutputs - 1) / kTileOutputs;
}

/// Rows [first, first + n) in the form that `w` multiplies.
Activations activations_for(const device::Matrix& w, const ProductInput& input, std::uint32_t first,
                            std::uint32_t n) {
  if (takes_floats(w.type)) {
    const std::size_t row_bytes = std::size_t{input.in} * sizeof(float);
    return {reinterpret_cast<const std::byte*>(input.x) + first * row_bytes, row_bytes, n};
  }
  const std::size_t row_bytes = QuantisedLayout{input.in}.row_bytes();
  return {input.quantised + first * row_bytes, row_bytes, n};
}

void multiply_tile(const KernelSet& kernels, const Product& product, const ProductInput& input,
                   std::size_t tile, std::uint32_t first_row, std::uint32_t rows) {
  const device::Matrix& w = *product.w;
  const auto first_out = static_cast<std::uint32_t>(tile * kTileOutputs);
  const std::uint32_t n_out = std::min(kTileOutputs, w.out - first_out);
  kernels.multiply[static_cast<std::size_t>(w.type)](w, first_out, n_out,
                                                     activations_for(w, input, first_row, rows),
                                                     product.y + std::size_t{first_row} * w.out, w.out);
}

}  // namespace

void multiply_all(Team::Member& member, const KernelSet& kernels, const ProductInput& input,
                  std::span<const Product> products) noexcept {
  std::size_t tiles = 0;
  for (const Product& product : products) tiles += tiles_of(*product.w);
  const std::size_t row_blocks = (std::size_t{input.rows} + kTileRows - 1) / kTileRows;
  // Pieces large enough to be worth claiming, small enough that a slow core does not hold up the rest.
  const std::size_t claim =
      std::clamp<std::size_t>(tiles * row_blocks / (member.count() * std::size_t{16}), 1, 8);
  const std::size_t claims = (tiles + claim - 1) / claim;
  member.for_each(claims * row_blocks, [&](std::size_t piece) {
    const auto first_row = static_cast<std::uint32_t>(piece / claims * kTileRows);
    const std::uint32_t rows = std::min(kTileRows, input.rows - first_row);
    const std::size_t first = piece % claims * claim;
    std::size_t before = 0;  // tiles of the products before this one
    for (const Product& product : products) {
      const std::size_t end = before + tiles_of(*product.w);
      for (std::size_t t = std::max(first, before); t < std::min(first + claim, end); ++t) {
        multiply_tile(kernels, product, input, t - before, first_row, rows);
      }
      before = end;
    }
  });
}

void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what) {
  device::check_matrix(kAbilities, matrix, in, out, what);
}

}  // namespace tandem::cpu
