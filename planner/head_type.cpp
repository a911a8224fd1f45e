#include "planner/head_type.h"

#include "planner/byte_count.h"
#include "planner/errors.h"
#include "planner/repacking.h"

namespace tandem::planner {

bool has_float_head(const ModelInput& model) {
  return model.head_type == "F32" || model.head_type == "F16" || model.head_type == "BF16";
}

ModelInput with_head_type(ModelInput model, HeadType type) {
  if (type == HeadType::keep || !has_float_head(model)) return model;
  const auto& stored =
      model::tensor_type_info(type == HeadType::q8_0 ? model::TensorType::q8_0 : model::TensorType::q6_k);
  if (model.hyper.width % stored.block_elems != 0) {
    throw BadQuestion("head type " + std::string(stored.name) + " stores " +
                          std::to_string(stored.block_elems) + " elements together, and rows have " +
                          std::to_string(model.hyper.width),
                      "ask for --head-type keep");
  }
  const auto elems = std::uint64_t{model.hyper.vocab} * model.hyper.width;
  const std::uint64_t norm_elems = model.hyper.width;
  const auto norm_bytes = norm_elems * sizeof(float);
  const auto matrix_bytes = (ByteCount(elems / stored.block_elems) * stored.block_bytes).value();
  // The matrix is a piece of an arena then, on the CPU too; the norm is used in place there.
  const auto piece = ByteCount(matrix_bytes).aligned(kBufferAlignmentBytes);
  model.head.bytes = (piece + norm_bytes).value();
  model.head.copied_bytes = (piece + ByteCount(norm_bytes).aligned(kBufferAlignmentBytes)).value();
  model.head.shares = {{stored.type, matrix_bytes, elems}, {model::TensorType::f32, norm_bytes, norm_elems}};
  model.head.largest_tensor_bytes = matrix_bytes;
  model.head.matrix_bytes = matrix_bytes;
  const bool repacks = can_be_repacked(model.hyper.width, model.hyper.vocab);
  model.head.repackable_bytes = repacks ? matrix_bytes : 0;
  model.head.quantised_elems = model.hyper.width;
  model.head_type = stored.name;
  return model;
}

}  // namespace tandem::planner
