#include "model/inventory.h"

#include <algorithm>

#include "model/byte_reader.h"
#include "model/error.h"
#include "model/tensor_names.h"

namespace tandem::model {
namespace {

ExpectedTensor vector_of(std::string name, std::uint64_t elems, Presence presence = Presence::required) {
  return {std::move(name), 1, {elems, 1, 1, 1}, presence};
}

ExpectedTensor matrix_of(std::string name, std::uint64_t in, std::uint64_t out,
                         Presence presence = Presence::required) {
  return {std::move(name), 2, {in, out, 1, 1}, presence};
}

void append_layer(std::vector<ExpectedTensor>& tensors, const Hyperparameters& hyperparameters,
                  std::uint32_t index) {
  const auto& layer = hyperparameters.layers[index];
  const std::uint64_t width = hyperparameters.width;
  const std::uint64_t q_width = std::uint64_t{layer.heads} * layer.head_dim;
  const std::uint64_t kv_width = std::uint64_t{layer.kv_heads} * layer.head_dim;
  const auto name = [&](std::string_view stem) { return layer_tensor(index, stem); };

  tensors.push_back(vector_of(name("attn_norm"), width));
  tensors.push_back(matrix_of(name("attn_q"), width, q_width));
  tensors.push_back(matrix_of(name("attn_k"), width, kv_width));
  if (layer.has_v) tensors.push_back(matrix_of(name("attn_v"), width, kv_width));
  tensors.push_back(vector_of(name("attn_q_norm"), layer.head_dim));
  tensors.push_back(vector_of(name("attn_k_norm"), layer.head_dim));
  tensors.push_back(matrix_of(name("attn_output"), q_width, width));
  tensors.push_back(vector_of(name("post_attention_norm"), width));
  tensors.push_back(vector_of(name("ffn_norm"), width));
  tensors.push_back(matrix_of(name("ffn_gate"), width, layer.ffn_width));
  tensors.push_back(matrix_of(name("ffn_up"), width, layer.ffn_width));
  tensors.push_back(matrix_of(name("ffn_down"), layer.ffn_width, width));
  tensors.push_back(vector_of(name("post_ffw_norm"), width));
  if (hyperparameters.family == Family::gemma4) {
    tensors.push_back(vector_of(name("layer_output_scale"), 1, Presence::usual));
  }
}

std::string shape_text(const std::array<std::uint64_t, 4>& dims) {
  std::size_t n = dims.size();
  while (n > 1 && dims[n - 1] == 1) --n;
  std::string text = "[";
  for (std::size_t i = 0; i < n; ++i) text += (i == 0 ? "" : ", ") + std::to_string(dims[i]);
  return text + "]";
}

void check_tensor(const Header& header, const ExpectedTensor& expected) {
  const auto* tensor = header.find_tensor(expected.name);
  const auto field = "tensor " + expected.name;
  if (tensor == nullptr) {
    if (expected.presence != Presence::required) return;
    throw BadModel(header.name, 0, field, "missing from the tensor directory");
  }
  if (tensor->dims != expected.dims) {
    throw BadModel(
        header.file_of(*tensor), tensor->offset_bytes, field,
        "shape " + shape_text(tensor->dims) + ", the metadata calls for " + shape_text(expected.dims));
  }
  if (expected.n_dims == 1 && tensor->type != TensorType::f32) {
    throw UnsupportedModel(header.file_of(*tensor) + ": " + field + " is " +
                           std::string(tensor_type_info(tensor->type).name) + ", only F32 is read for it");
  }
}

}  // namespace

std::vector<ExpectedTensor> tensor_inventory(const Hyperparameters& hyperparameters) {
  std::vector<ExpectedTensor> tensors;
  tensors.push_back(matrix_of(std::string(kTokenEmbedding), hyperparameters.width, hyperparameters.vocab));
  tensors.push_back(
      matrix_of(std::string(kOutput), hyperparameters.width, hyperparameters.vocab, Presence::rare));
  tensors.push_back(vector_of(std::string(kOutputNorm), hyperparameters.width));
  if (hyperparameters.family == Family::gemma4) {
    tensors.push_back(
        vector_of(std::string(kRopeFreqs), hyperparameters.rope_global.inv_freq.size(), Presence::usual));
  }
  for (std::uint32_t i = 0; i < hyperparameters.layers.size(); ++i) append_layer(tensors, hyperparameters, i);
  return tensors;
}

bool is_text_tensor(std::string_view name) noexcept {
  return !name.starts_with("v.") && !name.starts_with("a.") && !name.starts_with("mm.");
}

void check_inventory(const Header& header, const Hyperparameters& hyperparameters) {
  const auto inventory = tensor_inventory(hyperparameters);
  std::vector<std::string_view> known;
  known.reserve(inventory.size());
  for (const auto& expected : inventory) {
    check_tensor(header, expected);
    known.emplace_back(expected.name);
  }
  std::sort(known.begin(), known.end());
  for (const auto& tensor : header.tensors) {
    if (!is_text_tensor(tensor.name) || std::binary_search(known.begin(), known.end(), tensor.name)) continue;
    throw UnsupportedModel(header.file_of(tensor) + ": tensor " + printable(tensor.name) +
                               " is not part of a dense Gemma 3 or 4 text model of this shape",
                           "ignoring it would change the model's answers");
  }
}

}  // namespace tandem::model
