#include "tests/support/tiny_model.h"

#include <algorithm>
#include <stdexcept>

namespace tandem::test_support {
namespace {

constexpr std::uint32_t kLayers = 6;
constexpr std::uint64_t kWidth = 32;
constexpr std::uint64_t kHeads = 4;
constexpr std::uint64_t kFfn = 64;
constexpr std::uint64_t kVocab = 40;
constexpr std::uint64_t kAlignment = 32;

bool is_global(std::uint32_t layer) {
  return layer == kLayers - 1;
}

std::uint64_t padded_f32_bytes(const std::vector<std::uint64_t>& dims) {
  std::uint64_t bytes = 4;
  for (const auto dim : dims) bytes *= dim;
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void TinyModel::add_common_keys(const std::string& arch) {
  set_key("general.architecture", key_string("general.architecture", arch));
  set_key("general.name", key_string("general.name", "tiny"));
  const auto put = [&](const std::string& stem, std::uint32_t value) {
    set_key(arch + "." + stem, key_u32(arch + "." + stem, value));
  };
  put("block_count", kLayers);
  put("context_length", 4096);
  put("embedding_length", kWidth);
  put("feed_forward_length", kFfn);
  put("attention.head_count", kHeads);
  put("attention.sliding_window", 16);
  const auto eps = arch + ".attention.layer_norm_rms_epsilon";
  set_key(eps, key_f32(eps, 1e-6f));
  set_key(arch + ".rope.freq_base", key_f32(arch + ".rope.freq_base", 1e6f));
}

void TinyModel::add_layer(std::uint32_t index, std::uint64_t q_width, std::uint64_t kv_width,
                          std::uint64_t head_dim, bool has_v) {
  const auto prefix = "blk." + std::to_string(index) + ".";
  add_tensor(prefix + "attn_norm.weight", {kWidth});
  add_tensor(prefix + "attn_q.weight", {kWidth, q_width});
  add_tensor(prefix + "attn_k.weight", {kWidth, kv_width});
  if (has_v) add_tensor(prefix + "attn_v.weight", {kWidth, kv_width});
  add_tensor(prefix + "attn_q_norm.weight", {head_dim});
  add_tensor(prefix + "attn_k_norm.weight", {head_dim});
  add_tensor(prefix + "attn_output.weight", {q_width, kWidth});
  add_tensor(prefix + "post_attention_norm.weight", {kWidth});
  add_tensor(prefix + "ffn_norm.weight", {kWidth});
  add_tensor(prefix + "ffn_gate.weight", {kWidth, kFfn});
  add_tensor(prefix + "ffn_up.weight", {kWidth, kFfn});
  add_tensor(prefix + "ffn_down.weight", {kFfn, kWidth});
  add_tensor(prefix + "post_ffw_norm.weight", {kWidth});
}

TinyModel TinyModel::gemma3() {
  TinyModel model;
  model.add_common_keys("gemma3");
  model.set_key("gemma3.attention.head_count_kv", key_u32("gemma3.attention.head_count_kv", 2));
  model.set_key("gemma3.attention.key_length", key_u32("gemma3.attention.key_length", 16));
  model.set_key("gemma3.attention.value_length", key_u32("gemma3.attention.value_length", 16));
  model.set_key("gemma3.rope.scaling.type", key_string("gemma3.rope.scaling.type", "linear"));
  model.set_key("gemma3.rope.scaling.factor", key_f32("gemma3.rope.scaling.factor", 8.0f));
  model.add_tensor("token_embd.weight", {kWidth, kVocab});
  model.add_tensor("output_norm.weight", {kWidth});
  for (std::uint32_t i = 0; i < kLayers; ++i) model.add_layer(i, kHeads * 16, 2 * 16, 16, true);
  return model;
}

TinyModel TinyModel::gemma4() {
  TinyModel model;
  model.add_common_keys("gemma4");
  std::string kv_heads;
  std::string sliding;
  for (std::uint32_t i = 0; i < kLayers; ++i) {
    kv_heads += le<std::int32_t>(is_global(i) ? 1 : 2);
    sliding += le<char>(is_global(i) ? 0 : 1);
  }
  const std::string kv_key = "gemma4.attention.head_count_kv";
  const std::string pattern_key = "gemma4.attention.sliding_window_pattern";
  model.set_key(kv_key, key_array(kv_key, 5, kLayers, kv_heads));
  model.set_key(pattern_key, key_array(pattern_key, 7, kLayers, sliding));
  const auto put = [&](const std::string& key, std::uint32_t value) {
    model.set_key(key, key_u32(key, value));
  };
  put("gemma4.attention.key_length", 32);
  put("gemma4.attention.value_length", 32);
  put("gemma4.attention.key_length_swa", 16);
  put("gemma4.attention.value_length_swa", 16);
  put("gemma4.rope.dimension_count", 32);
  put("gemma4.rope.dimension_count_swa", 16);
  put("gemma4.attention.shared_kv_layers", 0);
  put("gemma4.embedding_length_per_layer_input", 0);
  model.set_key("gemma4.rope.freq_base_swa", key_f32("gemma4.rope.freq_base_swa", 1e4f));
  model.set_key("gemma4.final_logit_softcapping", key_f32("gemma4.final_logit_softcapping", 30.0f));
  model.add_tensor("token_embd.weight", {kWidth, kVocab});
  model.add_tensor("output_norm.weight", {kWidth});
  model.add_tensor("rope_freqs.weight", {16});
  for (std::uint32_t i = 0; i < kLayers; ++i) {
    const std::uint64_t head_dim = is_global(i) ? 32 : 16;
    model.add_layer(i, kHeads * head_dim, (is_global(i) ? 1 : 2) * head_dim, head_dim, !is_global(i));
    model.add_tensor("blk." + std::to_string(i) + ".layer_output_scale.weight", {1});
  }
  return model;
}

void TinyModel::set_key(const std::string& key, const std::string& pair) {
  const auto found = std::find_if(keys_.begin(), keys_.end(), [&](const Key& k) { return k.key == key; });
  if (found == keys_.end()) {
    keys_.push_back({key, pair});
  } else {
    found->pair = pair;
  }
}

void TinyModel::remove_key(const std::string& key) {
  if (std::erase_if(keys_, [&](const Key& k) { return k.key == key; }) != 1) throw std::logic_error(key);
}

void TinyModel::add_tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                           std::uint32_t type) {
  tensors_.push_back({name, dims, type});
}

void TinyModel::remove_tensor(const std::string& name) {
  if (std::erase_if(tensors_, [&](const Tensor& t) { return t.name == name; }) != 1)
    throw std::logic_error(name);
}

void TinyModel::reshape_tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                               std::uint32_t type) {
  remove_tensor(name);
  add_tensor(name, dims, type);
}

GgufBytes TinyModel::file() const {
  GgufBytes file;
  for (const auto& key : keys_) file.keys.push_back(key.pair);
  std::uint64_t offset = 0;
  for (const auto& tensor : tensors_) {
    file.tensors.push_back(tensor_entry(tensor.name, tensor.dims, tensor.type, offset));
    offset += padded_f32_bytes(tensor.dims);
  }
  return file;
}

std::string TinyModel::file_bytes() const {
  auto whole = file();
  std::uint64_t size_bytes = 0;
  for (const auto& tensor : tensors_) size_bytes += padded_f32_bytes(tensor.dims);
  whole.data.resize(size_bytes);
  return whole.bytes();
}

}  // namespace tandem::test_support
