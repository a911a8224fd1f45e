#include "planner/model_input.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <string_view>

#include "model/tensor_names.h"
#include "planner/byte_count.h"
#include "planner/gpu_rules.h"
#include "planner/printable.h"
#include "planner/repacking.h"

namespace tandem::planner {
namespace {

constexpr std::array<std::string_view, 8> kAttentionStems{
    "attn_norm",   "attn_q",      "attn_k",      "attn_v",
    "attn_q_norm", "attn_k_norm", "attn_output", "post_attention_norm"};
constexpr std::array<std::string_view, 6> kFfnStems{"ffn_norm", "ffn_gate",      "ffn_up",
                                                    "ffn_down", "post_ffw_norm", "layer_output_scale"};

struct LayerTensor {
  std::uint32_t layer = 0;
  std::string_view stem;
};

/// "blk.LAYER.STEM.weight" taken apart; nothing for other names.
std::optional<LayerTensor> layer_tensor_of(std::string_view name) {
  constexpr std::string_view kPrefix = "blk.";
  constexpr std::string_view kSuffix = ".weight";
  if (!name.starts_with(kPrefix) || !name.ends_with(kSuffix)) return std::nullopt;
  name.remove_prefix(kPrefix.size());
  name.remove_suffix(kSuffix.size());
  LayerTensor tensor;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), tensor.layer);
  if (error != std::errc{} || end == name.data() + name.size() || *end != '.') return std::nullopt;
  tensor.stem = name.substr(static_cast<std::size_t>(end - name.data()) + 1);
  return tensor;
}

void add(UnitWeights& unit, const model::TensorInfo& tensor) {
  unit.bytes = (ByteCount(unit.bytes) + tensor.size_bytes).value();
  unit.copied_bytes =
      (ByteCount(unit.copied_bytes) + ByteCount(tensor.size_bytes).aligned(kBufferAlignmentBytes)).value();
  unit.largest_tensor_bytes = std::max(unit.largest_tensor_bytes, tensor.size_bytes);
  if (!model::is_float(tensor.type)) unit.quantised_elems = std::max(unit.quantised_elems, tensor.dims[0]);
  if (tensor.n_dims > 1) {
    unit.matrix_bytes += tensor.size_bytes;
    if (can_be_repacked(tensor.dims[0], tensor.dims[1])) unit.repackable_bytes += tensor.size_bytes;
    if (unit.not_on_gpu.empty()) unit.not_on_gpu = why_not_on_gpu(tensor);
  }
  auto share = std::ranges::find(unit.shares, tensor.type, &TypeShare::type);
  if (share == unit.shares.end()) share = unit.shares.insert(share, {tensor.type, 0, 0});
  share->bytes += tensor.size_bytes;
  share->elems += tensor.elems();
}

/// The unit `tensor` belongs to; null if none.
UnitWeights* unit_of(ModelInput& input, const model::TensorInfo& tensor, std::string_view head_matrix) {
  if (tensor.name == head_matrix || tensor.name == model::kOutputNorm) return &input.head;
  if (tensor.name == model::kTokenEmbedding) return &input.embedding;
  const auto part = layer_tensor_of(tensor.name);
  if (!part || part->layer >= input.layers.size()) return nullptr;
  auto& layer = input.layers[part->layer];
  if (std::ranges::find(kAttentionStems, part->stem) != kAttentionStems.end()) return &layer.attention;
  if (std::ranges::find(kFfnStems, part->stem) != kFfnStems.end()) return &layer.ffn;
  return nullptr;
}

}  // namespace

const UnitWeights& weights_of(const ModelInput& model, UnitRef unit) {
  switch (unit.kind) {
    case UnitKind::attention:
      return model.layers[unit.layer].attention;
    case UnitKind::ffn:
      return model.layers[unit.layer].ffn;
    case UnitKind::head:
      break;
  }
  return model.head;
}

ModelInput model_input(const model::Header& header, const model::Hyperparameters& hyper) {
  ModelInput input;
  input.hyper = hyper;
  input.layers.resize(hyper.layers.size());
  for (std::uint32_t i = 0; i < hyper.layers.size(); ++i)
    input.layers[i].attention.not_on_gpu = why_not_on_gpu(hyper.layers[i], i);
  input.facts.name = printable(hyper.name);
  input.facts.family = hyper.family == model::Family::gemma3 ? "gemma3" : "gemma4";
  input.facts.layers = static_cast<std::uint32_t>(hyper.layers.size());
  input.facts.tensors = header.tensors.size();
  input.facts.tensor_bytes = header.tensor_bytes;
  input.facts.missing_bytes = header.missing_bytes;
  input.facts.context_length = hyper.context_length;

  const auto* output = header.find_tensor(model::kOutput);
  const auto head_matrix = output != nullptr ? model::kOutput : model::kTokenEmbedding;
  for (const auto& tensor : header.tensors) {
    auto* unit = unit_of(input, tensor, head_matrix);
    if (unit != nullptr) {
      add(*unit, tensor);
    } else {
      input.facts.unplaced_bytes += tensor.size_bytes;
    }
    if (tensor.name == head_matrix) input.head_type = model::tensor_type_info(tensor.type).name;
  }
  return input;
}

}  // namespace tandem::planner
