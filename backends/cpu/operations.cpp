#include "backends/cpu/operations.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/repacked.h"

namespace tandem::cpu {
namespace {

/// Bytes of a stream of weights, of which a kernel reads kTileOutputs at a time: fewer, and memory is asked
/// for too late; more, and the last pieces of a product leave threads without work.
constexpr std::size_t kStreamBytes = std::size_t{16} << 10;

/// The same in groups of kTileOutputs: of repacked weights a slab, whose streams are long in any case.
std::size_t stream_groups(const device::Matrix& w) {
  return lies_in_rows(w) ? kStreamBytes / row_bytes(w.type, w.in) : kSlabGroups;
}

/// Rows of activations that keep a core busier than the memory, and groups that are multiplied by so many
/// rows: the more, the less often each row is read.
constexpr std::uint32_t kManyRows = 16;
constexpr std::size_t kManyRowsGroups = 16;

/// Most groups a thread takes at a time of products of fewer rows.
constexpr std::size_t kFewRowsGroups = 8;

/// Outputs of `w` that a thread takes at a time.
std::uint32_t piece_outputs(const device::Matrix& w, std::uint32_t rows, unsigned threads) {
  const std::size_t share = w.out / (std::size_t{threads} * 4 * kTileOutputs);
  const std::size_t groups = rows > kManyRows ? kManyRowsGroups : std::min(stream_groups(w), kFewRowsGroups);
  return kTileOutputs * static_cast<std::uint32_t>(std::max<std::size_t>(std::min(groups, share), 1));
}

std::size_t pieces_of(const device::Matrix& w, std::uint32_t outputs) {
  return (std::size_t{w.out} + outputs - 1) / outputs;
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

}  // namespace

void multiply_all(Team::Member& member, const KernelSet& kernels, const ProductInput& input,
                  std::span<const Product> products) noexcept {
  std::size_t pieces = 0;
  for (const Product& product : products) {
    pieces += pieces_of(*product.w, piece_outputs(*product.w, input.rows, member.count()));
  }
  const std::size_t row_blocks = (std::size_t{input.rows} + kTileRows - 1) / kTileRows;
  member.for_each(pieces * row_blocks, [&](std::size_t i) {
    const auto first_row = static_cast<std::uint32_t>(i % row_blocks * kTileRows);
    const std::uint32_t rows = std::min(kTileRows, input.rows - first_row);
    std::size_t piece = i / row_blocks;
    for (const Product& product : products) {
      const device::Matrix& w = *product.w;
      const std::uint32_t outputs = piece_outputs(w, input.rows, member.count());
      if (piece >= pieces_of(w, outputs)) {
        piece -= pieces_of(w, outputs);
        continue;
      }
      const auto first_out = static_cast<std::uint32_t>(piece * outputs);
      kernels.multiply[static_cast<std::size_t>(w.type)](w, first_out, std::min(outputs, w.out - first_out),
                                                         activations_for(w, input, first_row, rows),
                                                         product.y + std::size_t{first_row} * w.out, w.out);
      return;
    }
  });
}

void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what) {
  device::check_matrix(kAbilities, matrix, in, out, what);
}

}  // namespace tandem::cpu
