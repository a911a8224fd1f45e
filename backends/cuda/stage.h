#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "backends/cuda/graph_cache.h"
#include "backends/cuda/runtime.h"
#include "backends/cuda/step_rows.h"
#include "backends/cuda/weight_stream.h"
#include "backends/device.h"

namespace tandem::cuda {

/// A stage on the device.  Weights (plane_layout.h; those of streamed units in host memory, for `weights`),
/// caches, scratch, `rows`, the graphs' budget and the streams belong to the caller and outlive it; `rows`
/// tells of the micro-batch whenever the stage steps. Throws std::invalid_argument if a unit is not what this
/// backend can run: as cpu::make_stage, and head_dim not a multiple of 16.
std::unique_ptr<device::Stage> make_stage(const std::vector<device::Unit>& units,
                                          const device::StageShape& shape, const device::Scratch& scratch,
                                          const StepRows& rows, GraphBudget& graphs, WeightStream& weights,
                                          Stream& stream);

/// Throws std::invalid_argument, naming `what`, unless the matrix is one this backend can multiply: a known
/// type, `in` x `out` as given, whole blocks, and rows of float types in whole sixteen bytes.
void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what);

}  // namespace tandem::cuda
