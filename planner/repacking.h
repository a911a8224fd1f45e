#pragma once

#include <cstdint>

#include "planner/model_input.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Whether the CPU can have a matrix of `out` rows of `in` elements, of any type, in the layout that it reads
/// fastest: the rule of its backend (backends/cpu/repacked.h), which a test holds against this one.
bool can_be_repacked(std::uint64_t in, std::uint64_t out) noexcept;

/// How the matrices that the CPU multiplies with lie by a plan.
struct CpuMatrices {
  std::uint64_t repacked_bytes = 0;
  std::uint64_t streamed_bytes = 0;  ///< could be repacked, but stay as in the file to be streamed from there
  std::uint64_t mapped_bytes = 0;    ///< could be repacked, but are used in place, as the plan says
  std::uint64_t other_bytes = 0;     ///< of shapes that stay as in the file anyway

  bool operator==(const CpuMatrices&) const = default;
};

/// `model` is the plan's as it is once loaded.
CpuMatrices cpu_matrices(const Plan& plan, const ModelInput& model);

/// `file` as it is once loaded for `workload`: with the head that it asks for (planner/head_type.h), and a
/// mark on units of which the CPU has no repacked matrices.  Where streaming is allowed these are all FFN
/// halves: a placement with nothing on a GPU, which streams nothing, is not told apart.
ModelInput as_loaded(ModelInput file, const Workload& workload);

}  // namespace tandem::planner
