#include "bench/weights.h"

#include <cmath>
#include <string_view>

#include "bench/random_blocks.h"
#include "model/rope.h"
#include "model/tensor_names.h"

namespace tandem::bench {
namespace {

struct Limits {
  float low;
  float high;
};

/// q/k norm weights about which scores, sums of head_dim products of unit size, spread by 3.
Limits head_norm_limits(const model::TensorInfo& vector, const model::Hyperparameters& hyperparameters) {
  constexpr float kScoreSpread = 3.0f;
  const auto head_dim = static_cast<float>(vector.dims[0]);
  const float scale = hyperparameters.layers[0].attention_scale;
  const float centre = std::sqrt(kScoreSpread / (scale * std::sqrt(head_dim)));
  return {0.5f * centre, 1.5f * centre};
}

Limits limits_of(const model::TensorInfo& vector, const model::Hyperparameters& hyperparameters) {
  const std::string_view name = vector.name;
  if (name.ends_with("attn_q_norm.weight") || name.ends_with("attn_k_norm.weight")) {
    return head_norm_limits(vector, hyperparameters);
  }
  if (name.ends_with("post_attention_norm.weight") || name.ends_with("post_ffw_norm.weight"))
    return {0.2f, 0.6f};
  if (name.ends_with("layer_output_scale.weight")) return {0.9f, 1.0f};
  if (name == model::kOutputNorm) return {3.0f, 5.0f};
  return {0.5f, 1.5f};
}

}  // namespace

float matrix_deviation(const model::TensorInfo& matrix) {
  return 1.0f / std::sqrt(static_cast<float>(matrix.dims[0]));
}

std::vector<float> vector_weights(const model::TensorInfo& vector,
                                  const model::Hyperparameters& hyperparameters, std::uint64_t seed) {
  const auto elems = static_cast<std::size_t>(vector.elems());
  if (vector.name == model::kRopeFreqs) {
    return model::proportional_rope_divisors(static_cast<std::uint32_t>(2 * elems));
  }
  Random random(seed);
  const auto limits = limits_of(vector, hyperparameters);
  std::vector<float> values(elems);
  for (auto& value : values) value = random.uniform(limits.low, limits.high);
  if (vector.name == model::kOutputNorm) {
    // The head is the embedding again: without random signs a token would always predict itself.
    for (auto& value : values) value = random.next() % 2 == 0 ? value : -value;
  }
  return values;
}

}  // namespace tandem::bench
