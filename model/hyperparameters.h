#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/gguf.h"

namespace tandem::model {

enum class Family { gemma3, gemma4 };
enum class LayerKind { sliding, global };

/// Rotation of one kind of layer: pair i of a head, elements (i, i + head_dim/2), turns by position *
/// inv_freq[i] radians.  0 leaves the pair as it is (model-spec 1.2); linear scaling and frequency factors
/// are already in.
struct RopeSpec {
  std::vector<double> inv_freq;  ///< (head_dim/2)

  bool operator==(const RopeSpec&) const = default;
};

/// One transformer block.  All that differs from layer to layer is here and nowhere else.
struct LayerSpec {
  LayerKind kind = LayerKind::global;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t window = 0;  ///< keys a sliding layer sees, itself included; 0 on global layers
  std::uint32_t ffn_width = 0;
  bool has_v = true;             ///< false: V is the normalised K projection (model-spec 2.5)
  float attention_scale = 1.0f;  ///< multiplies q (model-spec 2.2 step 5; 1 for Gemma 4)

  bool operator==(const LayerSpec&) const = default;
};

struct Hyperparameters {
  Family family = Family::gemma4;
  std::string name;                  ///< general.name, else the file's name
  std::uint32_t width = 0;           ///< D, elements of the residual stream
  std::uint32_t vocab = 0;           ///< V, rows of the embedding
  std::uint32_t context_length = 0;  ///< tokens the model was trained for
  float norm_eps = 1e-6f;
  float embedding_scale = 1.0f;  ///< sqrt(D) in fp32
  float final_softcap = 0.0f;    ///< logits = cap * tanh(logits / cap); 0 = none
  bool v_norm = false;           ///< Gemma 4: V is RMS-normalised without weight
  RopeSpec rope_sliding;
  RopeSpec rope_global;
  std::vector<LayerSpec> layers;
  std::vector<std::string> warnings;  ///< defaults taken where the file is silent, a line each

  [[nodiscard]] const RopeSpec& rope(const LayerSpec& layer) const noexcept {
    return layer.kind == LayerKind::sliding ? rope_sliding : rope_global;
  }
};

/// Reads hyper-parameters from a header and checks every tensor's shape against them (model-spec 1 to 3).
/// Reads the tensor rope_freqs where its data is in the file; synthesises it otherwise.
/// Throws UnsupportedModel (other architecture, drafter, MoE, per-layer embeddings, shared KV, tensors of
/// unknown meaning) and BadModel (a value missing or out of range, a tensor missing or of another shape).
Hyperparameters read_hyperparameters(const Header& header);

}  // namespace tandem::model
