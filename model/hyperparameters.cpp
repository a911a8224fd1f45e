#include "model/hyperparameters.h"

#include <array>
#include <cmath>
#include <filesystem>

#include "model/byte_reader.h"
#include "model/error.h"
#include "model/inventory.h"
#include "model/model_keys.h"
#include "model/rope.h"
#include "model/tensor_names.h"

namespace tandem::model {
namespace {

constexpr Range<std::uint32_t> kLayerRange{1, 1024};
constexpr Range<std::uint32_t> kWidthRange{1, 65'536};
constexpr Range<std::uint32_t> kFfnRange{1, 1'048'576};
constexpr Range<std::uint32_t> kHeadRange{1, 1024};
constexpr Range<std::uint32_t> kHeadDimRange{2, 512};  // no Gemma has more, and kernels keep tiles that long
constexpr Range<std::uint32_t> kVocabRange{2, 16'777'216};
constexpr Range<std::uint32_t> kTokenRange{1, 16'777'216};
constexpr Range<double> kEpsRange{1e-12, 1e-2};
constexpr Range<double> kRopeBaseRange{1.0, 1e12};
constexpr Range<double> kRopeFactorRange{1.0, 1024.0};
constexpr Range<double> kSoftcapRange{0.0, 1e6};

/// Divisors slow a frequency down: none turns by more than a radian a token, so that kernels may count the
/// quarter turns of any position below 2^31 in 32 bits.
constexpr float kLeastRopeDivisor = 1.0f;

/// The two architecture names of drafters and those of models that look alike get a hint of their own.
[[noreturn]] void refuse_architecture(const Header& header, std::string_view architecture) {
  const std::string what = header.name + ": architecture " + printable(architecture) +
                           " is not supported, only gemma3 and gemma4 are";
  for (const std::string_view drafter : {"gemma4-assistant", "gemma4_assistant", "gemma4_mtp", "dflash"}) {
    if (architecture == drafter)
      throw UnsupportedModel(what, "this file is a drafter: give the model it drafts for");
  }
  if (architecture == "clip") {
    throw UnsupportedModel(what, "this file is a vision projector: give the text model beside it");
  }
  throw UnsupportedModel(what);
}

struct Architecture {
  Family family;
  std::string prefix;  ///< of its metadata keys
};

Architecture read_architecture(const Header& header) {
  const auto name = header.find_string("general.architecture");
  if (!name) throw BadModel(header.name, 0, "general.architecture", "missing");
  if (*name == "gemma3") return {Family::gemma3, "gemma3"};
  if (*name == "gemma4") return {Family::gemma4, "gemma4"};
  if (*name == "gemma4_unified") {
    const bool own_keys = header.find("gemma4_unified.block_count") != nullptr;
    return {Family::gemma4, own_keys ? "gemma4_unified" : "gemma4"};
  }
  refuse_architecture(header, *name);
}

/// Features that change the arithmetic and that Tandem does not have.
void refuse_features(const Header& header, const ModelKeys& keys) {
  struct Feature {
    std::string_view stem;
    std::string_view what;
  };
  constexpr std::array kFeatures{
      Feature{"expert_count", "a mixture of experts"},
      Feature{"embedding_length_per_layer_input", "per-layer embeddings"},
      Feature{"attention.shared_kv_layers", "layers that share KV"},
      Feature{"attn_logit_softcapping", "softcapped attention scores"},
      Feature{"nextn_predict_layers", "a built-in drafter"},
  };
  for (const auto& feature : kFeatures) {
    const auto value = header.find_number(keys.key(feature.stem));
    if (value && *value != 0) {
      throw UnsupportedModel(
          header.name + ": " + keys.key(feature.stem) + " is set: the model has " + std::string(feature.what),
          "Tandem runs the dense Gemma 3 and Gemma 4 (12B, 31B) text models");
    }
  }
  if (keys.contains("assistant.type")) {
    throw UnsupportedModel(header.name + ": " + keys.key("assistant.type") + " is set: the file is a drafter",
                           "give the model it drafts for");
  }
  if (header.find_tensor(layer_tensor(0, "ffn_gate_inp")) != nullptr) {
    throw UnsupportedModel(header.name + ": the model has a mixture of experts (blk.0.ffn_gate_inp)");
  }
}

std::uint32_t read_vocab(const Header& header) {
  const auto* embedding = header.find_tensor(kTokenEmbedding);
  if (embedding == nullptr) {
    throw BadModel(header.name, 0, "tensor token_embd.weight", "missing from the tensor directory");
  }
  const auto rows = embedding->dims[1];
  if (rows < kVocabRange.least || rows > kVocabRange.most) {
    throw BadModel(header.file_of(*embedding), embedding->offset_bytes, "tensor token_embd.weight",
                   std::to_string(rows) + " rows, limits are 2 and 16777216");
  }
  const auto* tokens = header.find("tokenizer.ggml.tokens");
  if (tokens != nullptr && std::holds_alternative<MetaArray>(tokens->value) &&
      std::get<MetaArray>(tokens->value).size() > rows) {
    throw BadModel(header.name, tokens->offset_bytes, "tokenizer.ggml.tokens",
                   "more tokens than the " + std::to_string(rows) + " rows of token_embd.weight");
  }
  return static_cast<std::uint32_t>(rows);
}

std::vector<bool> read_sliding_pattern(const ModelKeys& keys, Family family, std::uint32_t layers) {
  constexpr std::string_view kStem = "attention.sliding_window_pattern";
  if (auto pattern = keys.find_sliding_pattern(kStem, layers)) return *pattern;
  if (family == Family::gemma4) keys.fail(kStem, "missing");
  constexpr std::uint32_t kGemma3Period = 6;
  std::vector<bool> sliding(layers);
  for (std::uint32_t i = 0; i < layers; ++i) sliding[i] = (i + 1) % kGemma3Period != 0;
  return sliding;
}

struct HeadDims {
  std::uint32_t sliding = 0;
  std::uint32_t global = 0;
};

std::uint32_t read_head_dim(const ModelKeys& keys, const std::string& key_stem, const std::string& value_stem,
                            const std::string& rope_stem) {
  const auto head_dim = keys.uint(key_stem, kHeadDimRange);
  if (head_dim % 2 != 0) keys.fail(key_stem, std::to_string(head_dim) + " is odd");
  if (keys.find_uint(value_stem, kHeadDimRange).value_or(head_dim) != head_dim) {
    keys.fail(value_stem, "differs from " + keys.key(key_stem) + ", " + std::to_string(head_dim));
  }
  if (keys.find_uint(rope_stem, kHeadDimRange).value_or(head_dim) != head_dim) {
    keys.fail(rope_stem, "differs from " + keys.key(key_stem) + ", " + std::to_string(head_dim));
  }
  return head_dim;
}

HeadDims read_head_dims(const ModelKeys& keys, Family family) {
  HeadDims dims;
  dims.global = read_head_dim(keys, "attention.key_length", "attention.value_length", "rope.dimension_count");
  const bool same = family == Family::gemma3 && !keys.contains("attention.key_length_swa");
  dims.sliding = same ? dims.global
                      : read_head_dim(keys, "attention.key_length_swa", "attention.value_length_swa",
                                      "rope.dimension_count_swa");
  return dims;
}

/// Multiplies q; no key carries it (model-spec 2.2 step 5, trap 6).
float attention_scale(const Hyperparameters& model, const LayerSpec& layer, std::size_t layer_count) {
  if (model.family == Family::gemma4) return 1.0f;
  constexpr std::size_t kLayersOf27B = 62;
  const double dim =
      layer_count == kLayersOf27B ? static_cast<double>(model.width) / layer.heads : layer.head_dim;
  return static_cast<float>(1.0 / std::sqrt(dim));
}

void read_layers(const Header& header, const ModelKeys& keys, const HeadDims& head_dims,
                 Hyperparameters& model) {
  const auto count = keys.uint("block_count", kLayerRange);
  const auto heads = keys.per_layer_uint("attention.head_count", count, kHeadRange);
  const auto kv_heads = keys.per_layer_uint("attention.head_count_kv", count, kHeadRange);
  const auto ffn_widths = keys.per_layer_uint("feed_forward_length", count, kFfnRange);
  const auto sliding = read_sliding_pattern(keys, model.family, count);
  const auto window = keys.uint("attention.sliding_window", kTokenRange);
  for (std::uint32_t i = 0; i < count; ++i) {
    if (heads[i] % kv_heads[i] != 0) {
      keys.fail("attention.head_count_kv", std::to_string(kv_heads[i]) + " in layer " + std::to_string(i) +
                                               " does not divide the " + std::to_string(heads[i]) + " heads");
    }
    LayerSpec layer;
    layer.kind = sliding[i] ? LayerKind::sliding : LayerKind::global;
    layer.heads = heads[i];
    layer.kv_heads = kv_heads[i];
    layer.head_dim = sliding[i] ? head_dims.sliding : head_dims.global;
    layer.window = sliding[i] ? window : 0;
    layer.ffn_width = ffn_widths[i];
    // Only a global layer of Gemma 4 may do without V (model-spec 2.3 step 4).
    layer.has_v = model.family == Family::gemma3 || sliding[i] ||
                  header.find_tensor(layer_tensor(i, "attn_v")) != nullptr;
    layer.attention_scale = attention_scale(model, layer, count);
    model.layers.push_back(layer);
  }
}

/// Linear scaling of positions on global layers (model-spec 1.2).
double read_linear_factor(const Header& header, const ModelKeys& keys, Hyperparameters& model) {
  const auto type = keys.find_string("rope.scaling.type");
  if (type && *type == "none") return 1.0;
  const auto factor = keys.find_number("rope.scaling.factor", kRopeFactorRange);
  if ((type && *type != "linear") || (model.family == Family::gemma4 && factor.value_or(1.0) != 1.0)) {
    throw UnsupportedModel(header.name + ": rope scaling " + printable(type.value_or("linear")) +
                           " is not supported for this model");
  }
  if (factor) return *factor;
  if (type) keys.fail("rope.scaling.factor", "missing");
  const auto count = model.layers.size();
  if (model.family == Family::gemma3 && (count == 34 || count == 48 || count == 62)) {
    model.warnings.emplace_back(
        "gemma3.rope.scaling is missing: assuming linear with factor 8, as Gemma 3 of " +
        std::to_string(count) + " layers needs");
    return 8.0;
  }
  return 1.0;
}

double read_rope_base(const ModelKeys& keys, std::string_view stem, std::string_view other_stem,
                      double standard, std::vector<std::string>& warnings) {
  if (const auto base = keys.find_number(stem, kRopeBaseRange)) return *base;
  if (const auto base = keys.find_number(other_stem, kRopeBaseRange)) return *base;
  // Gemma 3 files leave the sliding base out by custom.
  if (stem != "rope.freq_base_swa") {
    warnings.push_back(keys.key(stem) + " is missing: assuming " + number_text(standard));
  }
  return standard;
}

/// Divisors of Gemma 4's global frequencies, from the file where it has them.
std::vector<float> read_rope_divisors(const Header& header, std::uint32_t head_dim, Hyperparameters& model) {
  const auto* tensor = header.find_tensor(kRopeFreqs);
  if (tensor == nullptr) {
    model.warnings.emplace_back(
        "rope_freqs.weight is missing: assuming that a quarter of each global head rotates");
    return proportional_rope_divisors(head_dim);
  }
  if (!header.has_data(*tensor)) return proportional_rope_divisors(head_dim);
  const auto bytes = header.data(*tensor);
  std::vector<float> divisors;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(float)) {
    divisors.push_back(load_le<float>(bytes.data() + at));
    if (!(divisors.back() >= kLeastRopeDivisor)) {
      throw BadModel(header.file_of(*tensor), tensor->offset_bytes + at, "tensor rope_freqs.weight",
                     number_text(divisors.back()) + ", a divisor must be at least 1");
    }
  }
  return divisors;
}

void read_rope(const Header& header, const ModelKeys& keys, const HeadDims& head_dims,
               Hyperparameters& model) {
  const double sliding_base =
      read_rope_base(keys, "rope.freq_base_swa", "rope.local.freq_base", 1e4, model.warnings);
  const double global_base =
      read_rope_base(keys, "rope.freq_base", "rope.global.freq_base", 1e6, model.warnings);
  const double factor = read_linear_factor(header, keys, model);
  model.rope_sliding.inv_freq = rope_inv_freq(sliding_base, head_dims.sliding, 1.0, {});
  // The shape of rope_freqs has been checked.
  const auto divisors = model.family == Family::gemma4 ? read_rope_divisors(header, head_dims.global, model)
                                                       : std::vector<float>{};
  model.rope_global.inv_freq = rope_inv_freq(global_base, head_dims.global, factor, divisors);
}

float read_softcap(const ModelKeys& keys, Hyperparameters& model) {
  if (const auto cap = keys.find_number("final_logit_softcapping", kSoftcapRange))
    return static_cast<float>(*cap);
  if (model.family == Family::gemma3) return 0.0f;
  model.warnings.push_back(keys.key("final_logit_softcapping") + " is missing: assuming 30");
  return 30.0f;
}

float read_norm_eps(const ModelKeys& keys, Hyperparameters& model) {
  if (const auto eps = keys.find_number("attention.layer_norm_rms_epsilon", kEpsRange))
    return static_cast<float>(*eps);
  model.warnings.push_back(keys.key("attention.layer_norm_rms_epsilon") + " is missing: assuming 1e-6");
  return 1e-6f;
}

}  // namespace

Hyperparameters read_hyperparameters(const Header& header) {
  const auto architecture = read_architecture(header);
  const ModelKeys keys(header, architecture.prefix);
  refuse_features(header, keys);

  Hyperparameters model;
  model.family = architecture.family;
  model.name =
      header.find_string("general.name").value_or(std::filesystem::path(header.name).stem().string());
  model.width = keys.uint("embedding_length", kWidthRange);
  model.vocab = read_vocab(header);
  model.context_length = keys.uint("context_length", kTokenRange);
  model.norm_eps = read_norm_eps(keys, model);
  model.embedding_scale = std::sqrt(static_cast<float>(model.width));
  model.final_softcap = read_softcap(keys, model);
  model.v_norm = model.family == Family::gemma4;
  const auto head_dims = read_head_dims(keys, model.family);
  read_layers(header, keys, head_dims, model);
  model.rope_global.inv_freq.resize(head_dims.global /
                                    2);  // its size is what check_inventory expects of rope_freqs
  check_inventory(header, model);
  read_rope(header, keys, head_dims, model);
  return model;
}

}  // namespace tandem::model
