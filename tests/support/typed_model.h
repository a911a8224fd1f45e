#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace tandem::test_support {

/// GGUF's numbers of all types of weights; those from `kWholePanels` on have blocks of 256 elements.
inline constexpr std::array<std::uint32_t, 16> kWeightTypes{0,  1,  30, 2,  3,  6,  7,  8,
                                                            20, 39, 10, 11, 12, 13, 14, 23};
inline constexpr std::size_t kWholePanels = 10;

/// The file of a Gemma 3 model of width 256 with data that can be computed with: matrices of every type of
/// weights, of several shapes; those of attn_output have rows of 64.  Types and numbers differ with the seed.
inline std::filesystem::path write_typed_model(const TempDir& directory, std::uint32_t seed) {
  constexpr std::uint64_t kWidth = 256, kFfn = 512, kQueries = 64, kKeys = 16, kVocab = 48;
  auto tiny = TinyModel::gemma3();
  for (const auto& [key, value] :
       {std::pair{"gemma3.embedding_length", kWidth}, std::pair{"gemma3.feed_forward_length", kFfn},
        std::pair{"gemma3.attention.head_count_kv", std::uint64_t{1}}}) {
    tiny.set_key(key, key_u32(key, static_cast<std::uint32_t>(value)));
  }
  auto next = std::size_t{seed};
  const auto any_type = [&next] { return kWeightTypes[next++ % kWeightTypes.size()]; };
  const auto small_type = [&next] { return kWeightTypes[next++ % kWholePanels]; };
  for (int layer = 0; layer < 6; ++layer) {
    const auto reshape = [&](const char* stem, const std::vector<std::uint64_t>& dims, std::uint32_t type) {
      tiny.reshape_tensor("blk." + std::to_string(layer) + "." + stem + ".weight", dims, type);
    };
    for (const auto* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"})
      reshape(norm, {kWidth}, 0);
    reshape("attn_q", {kWidth, kQueries}, any_type());
    reshape("attn_k", {kWidth, kKeys}, any_type());
    reshape("attn_v", {kWidth, kKeys}, any_type());
    reshape("attn_output", {kQueries, kWidth}, small_type());
    reshape("ffn_gate", {kWidth, kFfn}, any_type());
    reshape("ffn_up", {kWidth, kFfn}, any_type());
    reshape("ffn_down", {kFfn, kWidth}, any_type());
  }
  tiny.reshape_tensor("token_embd.weight", {kWidth, kVocab}, any_type());
  tiny.reshape_tensor("output_norm.weight", {kWidth}, 0);

  auto file = tiny.file_bytes();
  const auto header = model::parse_header("typed.gguf", std::as_bytes(std::span(file)), nullptr);
  std::mt19937 random(seed);
  for (const auto& tensor : header.tensors) {
    auto* const bytes = file.data() + tensor.offset_bytes;
    // Whatever number such bytes are part of is a normal one.
    for (std::uint64_t i = 0; i < tensor.size_bytes; ++i) bytes[i] = static_cast<char>(0x28 + random() % 16);
    if (tensor.n_dims > 1) continue;
    for (std::uint64_t i = 0; i < tensor.size_bytes; i += sizeof(float)) {
      const float weight = 0.5f + static_cast<float>(random() % 1024) / 1024;
      std::memcpy(bytes + i, &weight, sizeof weight);
    }
  }
  return directory.write("typed.gguf", file);
}

}  // namespace tandem::test_support
