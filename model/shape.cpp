#include "model/shape.h"

#include <array>
#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "model/error.h"
#include "model/nearest.h"
#include "model/tensor_names.h"

namespace tandem::model {
namespace {

using nlohmann::json;

struct NumberField {
  std::string_view name;
  std::uint32_t Shape::*member;
  std::uint32_t most;  ///< what read_hyperparameters takes
};

constexpr std::uint32_t kMostLayers = 1024;
constexpr std::uint32_t kMostHeads = 1024;
constexpr std::uint32_t kMostHeadDim = 512;
constexpr std::uint32_t kMostTokens = 16'777'216;

constexpr std::array kNumberFields{
    NumberField{"layers", &Shape::layers, kMostLayers},
    NumberField{"width", &Shape::width, 65'536},
    NumberField{"ffn_width", &Shape::ffn_width, 1'048'576},
    NumberField{"heads", &Shape::heads, kMostHeads},
    NumberField{"kv_heads_sliding", &Shape::kv_heads_sliding, kMostHeads},
    NumberField{"kv_heads_global", &Shape::kv_heads_global, kMostHeads},
    NumberField{"head_dim_sliding", &Shape::head_dim_sliding, kMostHeadDim},
    NumberField{"head_dim_global", &Shape::head_dim_global, kMostHeadDim},
    NumberField{"window", &Shape::window, kMostTokens},
    NumberField{"global_period", &Shape::global_period, kMostLayers},
    NumberField{"context_length", &Shape::context_length, kMostTokens},
    NumberField{"vocab", &Shape::vocab, kMostTokens},
};

void refuse_unknown_fields(const json& object, const std::string& source) {
  std::vector<std::string_view> known{"name", "family"};
  for (const auto& field : kNumberFields) known.push_back(field.name);
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    throw Error(source + ": unknown field \"" + std::string(key).append("\""),
                "did you mean \"" + std::string(nearest(key, known)) + "\"?");
  }
}

std::uint32_t read_number(const json& object, const NumberField& field, const std::string& source) {
  const auto found = object.find(field.name);
  if (found == object.end()) throw Error(source + ": field \"" + std::string(field.name) + "\" is missing");
  if (!found->is_number_unsigned() || *found < 1U || *found > field.most) {
    throw Error(source + ": field \"" + std::string(field.name) + "\" must be a whole number from 1 to " +
                std::to_string(field.most));
  }
  return found->get<std::uint32_t>();
}

Family read_family(const json& object, const std::string& source) {
  const auto name = object.value("family", json());
  if (name == "gemma3") return Family::gemma3;
  if (name == "gemma4") return Family::gemma4;
  throw Error(source + ": field \"family\" must be \"gemma3\" or \"gemma4\"");
}

/// As much of the hyper-parameters as the inventory looks at.
Hyperparameters outline(const Shape& shape) {
  Hyperparameters model;
  model.family = shape.family;
  model.width = shape.width;
  model.vocab = shape.vocab;
  model.rope_global.inv_freq.resize(shape.head_dim_global / 2);
  for (std::uint32_t i = 0; i < shape.layers; ++i) {
    const bool sliding = shape.is_sliding(i);
    LayerSpec layer;
    layer.heads = shape.heads;
    layer.kv_heads = sliding ? shape.kv_heads_sliding : shape.kv_heads_global;
    layer.head_dim = sliding ? shape.head_dim_sliding : shape.head_dim_global;
    layer.ffn_width = shape.ffn_width;
    layer.has_v = sliding || shape.family == Family::gemma3;
    model.layers.push_back(layer);
  }
  return model;
}

/// "ffn_down" of "blk.3.ffn_down.weight".
std::string_view stem_of(std::string_view name) {
  name.remove_suffix(std::string_view(".weight").size());
  const auto dot = name.rfind('.');
  return dot == name.npos ? name : name.substr(dot + 1);
}

/// Every override must name a matrix that will be written.
void refuse_unmatched_overrides(const QuantRecipe& recipe, const std::vector<ExpectedTensor>& inventory) {
  std::set<std::string_view> known;
  for (const auto& tensor : inventory) {
    if (tensor.n_dims == 1 || tensor.presence == Presence::rare) continue;
    known.insert(stem_of(tensor.name));
    known.insert(tensor.name);
  }
  for (const auto& [name, type] : recipe.overrides) {
    if (known.contains(name)) continue;
    throw Error("type override for \"" + name + "\": the model has no such matrix",
                "did you mean \"" + std::string(nearest(name, known)) + "\"?");
  }
}

/// Chooses types tensor by tensor; counts the boosted stems as it goes.
class TypeChooser {
 public:
  TypeChooser(const QuantRecipe& recipe, const std::vector<ExpectedTensor>& inventory) : recipe_(&recipe) {
    for (const auto& tensor : inventory) ++counters_[stem_of(tensor.name)].total;
  }

  TensorType choose(const ExpectedTensor& tensor) {
    if (tensor.n_dims == 1) return TensorType::f32;
    const auto stem = stem_of(tensor.name);
    auto& counter = counters_[stem];
    const auto index = counter.seen++;
    for (auto it = recipe_->overrides.rbegin(); it != recipe_->overrides.rend(); ++it) {
      if (it->first == stem || it->first == tensor.name) return it->second;
    }
    if (tensor.name == kTokenEmbedding) return recipe_->embedding;
    const bool may_be_boosted = stem == "attn_v" || stem == "ffn_down";
    return may_be_boosted && is_boosted(index, counter.total) ? recipe_->boosted : recipe_->matrices;
  }

 private:
  struct Counter {
    std::uint32_t seen = 0;
    std::uint32_t total = 0;
  };

  static bool is_boosted(std::uint32_t i, std::uint32_t n) {
    return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
  }

  const QuantRecipe* recipe_;
  std::map<std::string_view, Counter> counters_;
};

void write_attention_keys(GgufWriter& writer, const Shape& shape, const std::string& prefix) {
  writer.add_uint(prefix + "attention.head_count", shape.heads);
  writer.add_float(prefix + "attention.layer_norm_rms_epsilon", 1e-6f);
  writer.add_uint(prefix + "attention.key_length", shape.head_dim_global);
  writer.add_uint(prefix + "attention.value_length", shape.head_dim_global);
  writer.add_uint(prefix + "attention.sliding_window", shape.window);
  writer.add_float(prefix + "rope.freq_base", 1e6f);
}

void write_sliding_pattern(GgufWriter& writer, const Shape& shape, const std::string& prefix) {
  std::vector<bool> pattern;
  for (std::uint32_t i = 0; i < shape.layers; ++i) pattern.push_back(shape.is_sliding(i));
  writer.add_bools(prefix + "attention.sliding_window_pattern", pattern);
}

void write_gemma3_keys(GgufWriter& writer, const Shape& shape, const std::string& prefix) {
  if (shape.kv_heads_sliding != shape.kv_heads_global || shape.head_dim_sliding != shape.head_dim_global) {
    throw Error(shape.name + ": Gemma 3 has the same heads on sliding and global layers");
  }
  constexpr std::uint32_t kStandardPeriod = 6;  // files of the standard pattern do not carry it
  if (shape.global_period != kStandardPeriod) write_sliding_pattern(writer, shape, prefix);
  writer.add_uint(prefix + "attention.head_count_kv", shape.kv_heads_global);
  writer.add_string(prefix + "rope.scaling.type", "linear");
  writer.add_float(prefix + "rope.scaling.factor", 8.0f);
}

void write_gemma4_keys(GgufWriter& writer, const Shape& shape, const std::string& prefix) {
  std::vector<std::int32_t> kv_heads;
  for (std::uint32_t i = 0; i < shape.layers; ++i) {
    kv_heads.push_back(
        static_cast<std::int32_t>(shape.is_sliding(i) ? shape.kv_heads_sliding : shape.kv_heads_global));
  }
  writer.add_ints(prefix + "attention.head_count_kv", kv_heads);
  write_sliding_pattern(writer, shape, prefix);
  writer.add_uint(prefix + "attention.key_length_swa", shape.head_dim_sliding);
  writer.add_uint(prefix + "attention.value_length_swa", shape.head_dim_sliding);
  writer.add_uint(prefix + "attention.shared_kv_layers", 0);
  writer.add_uint(prefix + "embedding_length_per_layer_input", 0);
  writer.add_float(prefix + "rope.freq_base_swa", 1e4f);
  writer.add_uint(prefix + "rope.dimension_count", shape.head_dim_global);
  writer.add_uint(prefix + "rope.dimension_count_swa", shape.head_dim_sliding);
  writer.add_float(prefix + "final_logit_softcapping", 30.0f);
  writer.add_float("general.sampling.temp", 1.0f);
  writer.add_uint("general.sampling.top_k", 64);
  writer.add_float("general.sampling.top_p", 0.95f);
}

}  // namespace

Shape shape_from_json(std::string_view text, const std::string& source) {
  const auto object = json::parse(text, nullptr, false, true);
  if (!object.is_object()) throw Error(source + ": not a JSON object");
  refuse_unknown_fields(object, source);
  Shape shape;
  const auto name = object.value("name", json("custom"));
  if (!name.is_string()) throw Error(source + ": field \"name\" must be a string");
  shape.name = name;
  shape.family = read_family(object, source);
  for (const auto& field : kNumberFields) shape.*field.member = read_number(object, field, source);
  return shape;
}

QuantRecipe QuantRecipe::uniform(TensorType type) {
  return {0, type, type, type, {}};
}

void write_model(GgufWriter& writer, const Shape& shape, const QuantRecipe& recipe) {
  const std::string arch = shape.family == Family::gemma3 ? "gemma3" : "gemma4";
  const auto prefix = arch + ".";
  writer.add_string("general.architecture", arch);
  writer.add_string("general.name", shape.name);
  writer.add_uint("general.file_type", recipe.file_type);
  writer.add_uint("general.quantization_version", 2);
  writer.add_uint(prefix + "block_count", shape.layers);
  writer.add_uint(prefix + "context_length", shape.context_length);
  writer.add_uint(prefix + "embedding_length", shape.width);
  writer.add_uint(prefix + "feed_forward_length", shape.ffn_width);
  write_attention_keys(writer, shape, prefix);
  if (shape.family == Family::gemma3) {
    write_gemma3_keys(writer, shape, prefix);
  } else {
    write_gemma4_keys(writer, shape, prefix);
  }

  const auto inventory = tensor_inventory(outline(shape));
  refuse_unmatched_overrides(recipe, inventory);
  TypeChooser types(recipe, inventory);
  for (const auto& tensor : inventory) {
    if (tensor.presence == Presence::rare) continue;
    writer.add_tensor(tensor.name, types.choose(tensor), std::span(tensor.dims).first(tensor.n_dims));
  }
}

}  // namespace tandem::model
