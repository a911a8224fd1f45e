#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace tandem::model {

/// Element types of tensors, numbered as in GGUF (model-spec 4.1).  Only types that Tandem computes with.
enum class TensorType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
  mxfp4 = 39,
};

/// A block is the unit in which a type stores elements: `block_elems` values in `block_bytes` bytes.
struct TensorTypeInfo {
  TensorType type;
  std::string_view name;  ///< as GGUF tools print it, e.g. "Q4_0"
  std::uint32_t block_elems;
  std::uint32_t block_bytes;
};

/// Every type, in order of its id.
std::span<const TensorTypeInfo> tensor_types() noexcept;

/// Facts of `type`.
const TensorTypeInfo& tensor_type_info(TensorType type) noexcept;

/// Whether elements are numbers of their own; those of all other types come in blocks of integers.
constexpr bool is_float(TensorType type) noexcept {
  return type == TensorType::f32 || type == TensorType::f16 || type == TensorType::bf16;
}

/// The type with this GGUF id, or nothing where Tandem does not know it.
std::optional<TensorType> tensor_type_from_id(std::uint32_t id) noexcept;

/// The type called `name`, as in TensorTypeInfo.
std::optional<TensorType> tensor_type_from_name(std::string_view name) noexcept;

/// The name GGUF tools give to `id`, known to Tandem or not, for messages; "type 99" if nobody knows it.
std::string tensor_type_id_name(std::uint32_t id);

/// Bytes of `elems` consecutive elements; nothing if they are not whole blocks or the size overflows.
std::optional<std::uint64_t> tensor_bytes(TensorType type, std::uint64_t elems) noexcept;

}  // namespace tandem::model
