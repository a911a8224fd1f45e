#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/model_input.h"
#include "planner/placement.h"

namespace tandem::planner {

// What no GPU can run: the rules of its backend (backends/cuda/stage.cpp), which a test holds against these
// (tests/memory/test_gpu_rules.cpp).  No published Gemma breaks one, but any file may.

/// Why a GPU cannot multiply with `matrix`: rows of float types are read in whole sixteen bytes.  "" if it
/// can.
std::string why_not_on_gpu(const model::TensorInfo& matrix);

/// Why a GPU cannot attend as layer number `index` does: its kernels take heads in steps of 16 elements.
std::string why_not_on_gpu(const model::LayerSpec& layer, std::uint32_t index);

/// Whether a GPU can run the unit.
bool may_be_on_gpu(const ModelInput& model, UnitRef unit);

/// Whether a GPU can run every FFN half, so that those on the CPU can be streamed to it.
bool may_stream_ffn(const ModelInput& model);

/// Every unit that a GPU can run on `gpu`, the others on the CPU.
Placement most_on(Device gpu, const ModelInput& model);

/// What no GPU can run, a line for each kind of unit: how many there are and why the first one is.
std::vector<std::string> gpu_rule_lines(const ModelInput& model);

}  // namespace tandem::planner
