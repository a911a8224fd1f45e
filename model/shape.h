#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/gguf_writer.h"
#include "model/hyperparameters.h"
#include "model/inventory.h"

namespace tandem::model {

/// The numbers that tell one Gemma text model from another; what else there is follows from the family.
struct Shape {
  std::string name;  ///< for people: "Gemma 4 12B"
  Family family = Family::gemma4;
  std::uint32_t layers = 0;
  std::uint32_t width = 0;
  std::uint32_t ffn_width = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads_sliding = 0;
  std::uint32_t kv_heads_global = 0;
  std::uint32_t head_dim_sliding = 0;
  std::uint32_t head_dim_global = 0;
  std::uint32_t window = 0;
  std::uint32_t global_period = 6;  ///< layer i is global where i mod global_period = global_period - 1
  std::uint32_t context_length = 0;
  std::uint32_t vocab = 0;

  [[nodiscard]] bool is_sliding(std::uint32_t layer) const noexcept {
    return layer % global_period != global_period - 1;
  }
};

/// Reads a shape from JSON: an object with the fields of Shape, `family` as "gemma3" or "gemma4".  Every
/// field but `name` is required.  `source` names the text in messages.  Throws Error
/// also for a number beyond what read_hyperparameters takes; what else it checks, it checks when a header
/// made of the shape is read.
Shape shape_from_json(std::string_view text, const std::string& source);

/// Which type each matrix has.  Vectors are always F32.
struct QuantRecipe {
  std::uint32_t file_type = 0;  ///< general.file_type, a label
  TensorType matrices = TensorType::f32;
  /// Of attn_v and ffn_down where i < n/8, i >= 7n/8 or (i - n/8) mod 3 = 2, i of n such tensors.
  TensorType boosted = TensorType::f32;
  TensorType embedding = TensorType::f32;
  /// Exceptions, later ones first: a tensor's stem ("ffn_down", "token_embd") or whole name, and its type.
  std::vector<std::pair<std::string, TensorType>> overrides;

  /// All matrices and the embedding in `type`.
  static QuantRecipe uniform(TensorType type);
};

/// Writes what a converter writes of a model of this shape: the metadata (no tokenizer) and the directory.
/// Throws Error if an override names no matrix of the model.
void write_model(GgufWriter& writer, const Shape& shape, const QuantRecipe& recipe);

}  // namespace tandem::model
