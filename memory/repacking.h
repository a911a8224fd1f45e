#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "backends/device.h"
#include "memory/weight_store.h"
#include "planner/plan.h"

namespace tandem::memory {

/// A tensor that the CPU multiplies with in another layout than the file's.
struct RepackedTensor {
  std::string name;
  std::uint64_t bytes = 0;  ///< there as in the file
};

/// The matrices of halves on the CPU that `repacker` takes, in an order in which they can lie one after the
/// other without gaps: those of a multiple of planner::kBufferAlignmentBytes first.  Halves whose weights are
/// streamed are not among them, they are read row by row on their way; nor is anything where the plan wants
/// weights as they are in the file.
std::vector<RepackedTensor> repacked_weights(const planner::Plan& plan, const WeightStore& store,
                                             const device::Repacker* repacker);

/// The head's matrix, where it is on the CPU, is repacked, and has the type that it has in the file.
std::vector<RepackedTensor> repacked_head(const planner::Plan& plan, const WeightStore& store,
                                          const device::Repacker* repacker);

std::uint64_t total_bytes(const std::vector<RepackedTensor>& tensors) noexcept;

}  // namespace tandem::memory
