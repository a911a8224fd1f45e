#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "backends/device.h"
#include "backends/unit_checks.h"

namespace tandem::cpu {

/// y (rows, w->out) = x (rows, w->in) W^T.
struct Product {
  const device::Matrix* w = nullptr;
  float* y = nullptr;
};

/// The same activations in both forms a matrix may want.
struct ProductInput {
  const float* x = nullptr;              ///< (rows, in)
  const std::byte* quantised = nullptr;  ///< (rows) quantised rows; unused by F32, F16 and BF16
  std::uint32_t in = 0;
  std::uint32_t rows = 0;
};

/// Computes several products of one input, shared out among the team in tiles of outputs and blocks of rows.
void multiply_all(Team::Member& member, const KernelSet& kernels, const ProductInput& input,
                  std::span<const Product> products) noexcept;

/// What the CPU can run.
inline constexpr device::Abilities kAbilities{"CPU", 2, kMaxHeadDim, block_elems, true};

/// Throws std::invalid_argument, naming `what`, unless the matrix is one this backend can multiply: a known
/// type, `in` x `out` as given and whole blocks.
void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what);

}  // namespace tandem::cpu
