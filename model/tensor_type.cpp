#include "model/tensor_type.h"

#include <array>
#include <string>

#include "model/checked.h"

namespace tandem::model {
namespace {

constexpr std::array kTypes{
    TensorTypeInfo{TensorType::f32, "F32", 1, 4},
    TensorTypeInfo{TensorType::f16, "F16", 1, 2},
    TensorTypeInfo{TensorType::q4_0, "Q4_0", 32, 18},
    TensorTypeInfo{TensorType::q4_1, "Q4_1", 32, 20},
    TensorTypeInfo{TensorType::q5_0, "Q5_0", 32, 22},
    TensorTypeInfo{TensorType::q5_1, "Q5_1", 32, 24},
    TensorTypeInfo{TensorType::q8_0, "Q8_0", 32, 34},
    TensorTypeInfo{TensorType::q2_k, "Q2_K", 256, 84},
    TensorTypeInfo{TensorType::q3_k, "Q3_K", 256, 110},
    TensorTypeInfo{TensorType::q4_k, "Q4_K", 256, 144},
    TensorTypeInfo{TensorType::q5_k, "Q5_K", 256, 176},
    TensorTypeInfo{TensorType::q6_k, "Q6_K", 256, 210},
    TensorTypeInfo{TensorType::iq4_nl, "IQ4_NL", 32, 18},
    TensorTypeInfo{TensorType::iq4_xs, "IQ4_XS", 256, 136},
    TensorTypeInfo{TensorType::bf16, "BF16", 1, 2},
    TensorTypeInfo{TensorType::mxfp4, "MXFP4", 32, 17},
};

struct IdName {
  std::uint32_t id;
  std::string_view name;
};

/// Types of GGUF that Tandem does not compute with.
constexpr std::array kForeignTypes{
    IdName{9, "Q8_1"},     IdName{15, "Q8_K"},  IdName{16, "IQ2_XXS"}, IdName{17, "IQ2_XS"},
    IdName{18, "IQ3_XXS"}, IdName{19, "IQ1_S"}, IdName{21, "IQ3_S"},   IdName{22, "IQ2_S"},
    IdName{24, "I8"},      IdName{25, "I16"},   IdName{26, "I32"},     IdName{27, "I64"},
    IdName{28, "F64"},     IdName{29, "IQ1_M"}, IdName{34, "TQ1_0"},   IdName{35, "TQ2_0"},
    IdName{40, "NVFP4"},   IdName{41, "Q1_0"},  IdName{42, "Q2_0"},
};

}  // namespace

std::span<const TensorTypeInfo> tensor_types() noexcept {
  return kTypes;
}

const TensorTypeInfo& tensor_type_info(TensorType type) noexcept {
  for (const auto& info : kTypes) {
    if (info.type == type) return info;
  }
  return kTypes[0];  // not reached: every enumerator is in the table
}

std::optional<TensorType> tensor_type_from_id(std::uint32_t id) noexcept {
  for (const auto& info : kTypes) {
    if (static_cast<std::uint32_t>(info.type) == id) return info.type;
  }
  return std::nullopt;
}

std::optional<TensorType> tensor_type_from_name(std::string_view name) noexcept {
  for (const auto& info : kTypes) {
    if (info.name == name) return info.type;
  }
  return std::nullopt;
}

std::string tensor_type_id_name(std::uint32_t id) {
  if (const auto type = tensor_type_from_id(id)) return std::string(tensor_type_info(*type).name);
  for (const auto& foreign : kForeignTypes) {
    if (foreign.id == id) return std::string(foreign.name);
  }
  return "type " + std::to_string(id);
}

std::optional<std::uint64_t> tensor_bytes(TensorType type, std::uint64_t elems) noexcept {
  const auto& info = tensor_type_info(type);
  if (elems % info.block_elems != 0) return std::nullopt;
  return checked_mul(elems / info.block_elems, info.block_bytes);
}

}  // namespace tandem::model
