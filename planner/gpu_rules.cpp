#include "planner/gpu_rules.h"

#include <algorithm>

#include "model/tensor_names.h"
#include "planner/size_text.h"

namespace tandem::planner {

std::string why_not_on_gpu(const model::TensorInfo& matrix) {
  constexpr std::uint32_t kReadTogetherBytes = 16;
  if (!model::is_float(matrix.type)) return "";
  const auto& type = model::tensor_type_info(matrix.type);
  const auto step = kReadTogetherBytes / type.block_bytes;
  if (matrix.dims[0] % step == 0) return "";
  return std::string(matrix.name) + " has rows of " + grouped(matrix.dims[0]) + " " + std::string(type.name) +
         " elements, not a multiple of " + std::to_string(step);
}

std::string why_not_on_gpu(const model::LayerSpec& layer, std::uint32_t index) {
  constexpr std::uint32_t kHeadDimStep = 16;
  if (layer.head_dim % kHeadDimStep == 0) return "";
  return model::layer_tensor(index, "attn_q") + " has heads of " + std::to_string(layer.head_dim) +
         " elements, not a multiple of " + std::to_string(kHeadDimStep);
}

bool may_be_on_gpu(const ModelInput& model, UnitRef unit) {
  return weights_of(model, unit).not_on_gpu.empty();
}

bool may_stream_ffn(const ModelInput& model) {
  return std::ranges::all_of(model.layers,
                             [](const LayerWeights& layer) { return layer.ffn.not_on_gpu.empty(); });
}

Placement most_on(Device gpu, const ModelInput& model) {
  auto placement = Placement::all_on(Device::cpu, model.layers.size());
  for (const auto unit : all_units(model.layers.size())) {
    if (may_be_on_gpu(model, unit)) placement.move(unit, gpu);
  }
  return placement;
}

std::vector<std::string> gpu_rule_lines(const ModelInput& model) {
  std::vector<std::string> lines;
  const auto layers = std::to_string(model.layers.size());
  const auto add_halves = [&](UnitWeights LayerWeights::*half, const std::string& what) {
    const auto is_barred = [half](const LayerWeights& layer) { return !(layer.*half).not_on_gpu.empty(); };
    const auto first = std::ranges::find_if(model.layers, is_barred);
    if (first == model.layers.end()) return;
    const auto barred = std::to_string(std::ranges::count_if(model.layers, is_barred));
    lines.push_back("no GPU can run " + barred + " of " + layers + what + ((*first).*half).not_on_gpu);
  };
  add_halves(&LayerWeights::attention, " attention halves: ");
  add_halves(&LayerWeights::ffn, " FFN halves: ");
  if (!model.head.not_on_gpu.empty()) lines.push_back("no GPU can run the head: " + model.head.not_on_gpu);
  return lines;
}

}  // namespace tandem::planner
