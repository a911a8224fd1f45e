#pragma once

// What stages ask of their units, whatever the device: shapes that fit each other and types that it knows.

#include <algorithm>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "backends/device.h"

namespace tandem::device {

/// What a backend can run, and its name in errors.
struct Abilities {
  const char* name = "";
  std::uint32_t head_dim_step = 1;  ///< head_dim is a multiple of it
  std::uint32_t max_head_dim = 0;
  std::uint32_t (*row_step)(BlockType) = nullptr;  ///< rows of a matrix are multiples of it; 0: unknown type
  bool repacked = false;                           ///< reads repacked matrices too
};

/// A unit that a backend can run, and what follows from its matrices' types.
struct CheckedUnit {
  Unit unit;
  bool quantise_input = false;  ///< of the first products
  bool quantise_inner = false;  ///< of Wo or Wdown
};

/// Whether any of the matrices multiplies quantised rows.
inline bool wants_quantised(std::initializer_list<const Matrix*> matrices) noexcept {
  return std::any_of(matrices.begin(), matrices.end(), [](const Matrix* matrix) {
    return matrix->data != nullptr && !multiplies_floats(matrix->type);
  });
}

/// Throws std::invalid_argument, naming `what`, unless the backend can multiply the matrix: a known type,
/// `in` x `out` as given, rows of the length it needs.
inline void check_matrix(const Abilities& abilities, const Matrix& matrix, std::uint32_t in,
                         std::uint32_t out, const char* what) {
  const std::string where = std::string(abilities.name) + " stage: " + what;
  if (matrix.data == nullptr) throw std::invalid_argument(where + " is absent");
  if (matrix.in != in || matrix.out != out) {
    throw std::invalid_argument(where + " is " + std::to_string(matrix.in) + " x " +
                                std::to_string(matrix.out) + ", expected " + std::to_string(in) + " x " +
                                std::to_string(out));
  }
  const std::uint32_t step = abilities.row_step(matrix.type);
  if (step == 0) {
    throw std::invalid_argument(where + " has block type " +
                                std::to_string(static_cast<std::uint32_t>(matrix.type)) + ", which the " +
                                abilities.name + " backend does not know");
  }
  if (in % step != 0) {
    throw std::invalid_argument(where + " has rows of " + std::to_string(in) +
                                " elements, not a multiple of " + std::to_string(step));
  }
  if (matrix.layout != WeightLayout::rows && !abilities.repacked) {
    throw std::invalid_argument(where + " is repacked, which the " + abilities.name +
                                " backend does not read");
  }
}

namespace checks {

/// Bytes of `elems` elements in a KV cache.
constexpr std::uint64_t cached_bytes(KvType type, std::uint64_t elems) noexcept {
  if (type == KvType::f32) return elems * 4;
  if (type == KvType::f16) return elems * 2;
  return elems / 32 * 34;
}

inline void check_cache(const AttentionHalf& half, const std::string& where) {
  const auto require = [&where](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument(where + what);
  };
  require(half.kv.layout != KvLayout::vector_rotated, "KV layout vector_rotated is not implemented");
  require(half.kv.layout == KvLayout::separate || half.v.data == nullptr,
          "KV layout vector needs a layer without V projection");
  require(half.kv.type != KvType::q8_0 || half.head_dim % 32 == 0,
          "a q8_0 cache needs head_dim in multiples of 32");
  const std::uint64_t vectors = half.kv.layout == KvLayout::separate ? 2 : 1;
  const std::uint64_t elems = vectors * half.kv_heads * half.head_dim;
  require(half.kv.row_bytes == cached_bytes(half.kv.type, elems), "the KV row has the wrong size");
  require((half.kv.draft_rows == 0) == (half.kv.drafts == nullptr), "drafts without memory for them");
  require(half.window == 0 ? half.kv.page_tok > 0 : half.kv.cells > 0, "the KV cache has no cells");
}

inline CheckedUnit check_attention(const Abilities& abilities, const Unit& unit, std::uint32_t width) {
  const AttentionHalf& half = unit.attention;
  const std::string where =
      std::string(abilities.name) + " stage: layer " + std::to_string(unit.layer) + ": ";
  if (half.head_dim == 0 || half.head_dim % abilities.head_dim_step != 0 ||
      half.head_dim > abilities.max_head_dim) {
    throw std::invalid_argument(where + "head_dim must be a multiple of " +
                                std::to_string(abilities.head_dim_step) + " and at most " +
                                std::to_string(abilities.max_head_dim));
  }
  if (half.kv_heads == 0 || half.heads == 0 || half.heads % half.kv_heads != 0) {
    throw std::invalid_argument(where + "heads must be a multiple of kv_heads");
  }
  check_cache(half, where);
  check_matrix(abilities, half.q, width, half.heads * half.head_dim, "attn_q");
  check_matrix(abilities, half.k, width, half.kv_heads * half.head_dim, "attn_k");
  if (half.v.data != nullptr) {
    check_matrix(abilities, half.v, width, half.kv_heads * half.head_dim, "attn_v");
  }
  check_matrix(abilities, half.out, half.heads * half.head_dim, width, "attn_output");
  return {unit, wants_quantised({&half.q, &half.k, &half.v}), wants_quantised({&half.out})};
}

inline CheckedUnit check_ffn(const Abilities& abilities, const Unit& unit, std::uint32_t width) {
  const FfnHalf& half = unit.ffn;
  check_matrix(abilities, half.gate, width, half.gate.out, "ffn_gate");
  check_matrix(abilities, half.up, width, half.gate.out, "ffn_up");
  check_matrix(abilities, half.down, half.gate.out, width, "ffn_down");
  return {unit, wants_quantised({&half.gate, &half.up}), wants_quantised({&half.down})};
}

}  // namespace checks

/// The unit, if the backend can run it; throws std::invalid_argument otherwise.
inline CheckedUnit check_unit(const Abilities& abilities, const Unit& unit, std::uint32_t width) {
  return unit.kind == UnitKind::attention ? checks::check_attention(abilities, unit, width)
                                          : checks::check_ffn(abilities, unit, width);
}

}  // namespace tandem::device
