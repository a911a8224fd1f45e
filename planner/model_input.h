#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::planner {

/// What a unit has of one element type.
struct TypeShare {
  model::TensorType type = model::TensorType::f32;
  std::uint64_t bytes = 0;
  std::uint64_t elems = 0;

  bool operator==(const TypeShare&) const = default;
};

/// The tensors of one unit.
struct UnitWeights {
  std::uint64_t bytes = 0;         ///< as the file has them; on the CPU they take as many
  std::uint64_t copied_bytes = 0;  ///< in an arena: each tensor takes a multiple of kBufferAlignmentBytes
  std::vector<TypeShare> shares;   ///< by type; their bytes sum to `bytes`
  std::uint64_t largest_tensor_bytes = 0;
  std::uint64_t quantised_elems = 0;  ///< of the longest row that a matrix multiplies as integers; 0: none
  std::uint64_t matrix_bytes = 0;
  std::uint64_t repackable_bytes = 0;  ///< of matrices that the CPU can repack (planner/repacking.h)
  bool mapped = false;                 ///< which it does not: it uses them as they are in the file
  std::string not_on_gpu;              ///< why no GPU can run the unit (planner/gpu_rules.h); "": one can

  bool operator==(const UnitWeights&) const = default;
};

struct LayerWeights {
  UnitWeights attention;
  UnitWeights ffn;

  bool operator==(const LayerWeights&) const = default;
};

/// All that a plan needs to know of a model.  A plain value: taken from a header, or made up.
struct ModelInput {
  ModelFacts facts;
  model::Hyperparameters hyper;
  std::vector<LayerWeights> layers;
  UnitWeights head;       ///< output.weight, or the tied embedding, and output_norm
  std::string head_type;  ///< of the matrix, "Q6_K"
  UnitWeights embedding;  ///< zero where the head is tied to it
};

const UnitWeights& weights_of(const ModelInput& model, UnitRef unit);

/// Sorts the header's tensors into units (model-spec 3.3).  Tensors of no unit count as unplaced.
ModelInput model_input(const model::Header& header, const model::Hyperparameters& hyper);

}  // namespace tandem::planner
