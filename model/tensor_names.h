#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::model {

/// Names of tensors in GGUF (model-spec 3.3).
inline constexpr std::string_view kTokenEmbedding = "token_embd.weight";
inline constexpr std::string_view kOutputNorm = "output_norm.weight";
inline constexpr std::string_view kOutput = "output.weight";  ///< absent where tied to the embedding
inline constexpr std::string_view kRopeFreqs = "rope_freqs.weight";

/// "blk.LAYER.STEM.weight", STEM as in "attn_q".
inline std::string layer_tensor(std::uint32_t layer, std::string_view stem) {
  return "blk." + std::to_string(layer) + "." + std::string(stem) + ".weight";
}

}  // namespace tandem::model
