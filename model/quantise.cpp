#include "model/quantise.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace tandem::model {
namespace {

constexpr std::size_t kQ8Elems = 32;
constexpr std::size_t kQ6Elems = 256;
constexpr std::size_t kGroupElems = 16;  ///< of Q6_K, with a scale of their own
constexpr std::size_t kGroups = kQ6Elems / kGroupElems;

float half_to_float(std::uint16_t half) noexcept {
  const auto magnitude = static_cast<std::uint32_t>(half & 0x7fffU) << 13U;
  const auto sign = static_cast<std::uint32_t>(half & 0x8000U) << 16U;
  const auto scaled = std::bit_cast<float>(magnitude) * 0x1p112F;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(scaled) | sign);
}

/// To nearest, ties to even; the magnitude is at most 65504.
std::uint16_t float_to_half(float value) noexcept {
  const auto magnitude = std::fabs(value);
  const auto sign = std::signbit(value) ? 0x8000U : 0U;
  // A half's last place in this binade, and never finer than the subnormals': rounding is exact there.
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const auto place = std::ldexp(1.0F, std::max(exponent - 11, -24));
  const auto rounded = std::nearbyint(magnitude / place) * place;
  const auto scaled = std::bit_cast<std::uint32_t>(rounded * 0x1p-112F);
  return static_cast<std::uint16_t>(sign | (scaled >> 13U));
}

float element(TensorType type, const std::byte* row, std::size_t index) noexcept {
  if (type == TensorType::f32) {
    float value = 0;
    std::memcpy(&value, row + index * sizeof value, sizeof value);
    return value;
  }
  std::uint16_t bits = 0;
  std::memcpy(&bits, row + index * sizeof bits, sizeof bits);
  if (type == TensorType::bf16) return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
  return half_to_float(bits);
}

/// Of the largest magnitude.
template <typename Values>
float signed_peak(const Values& values) noexcept {
  return *std::ranges::max_element(values, {}, [](float value) { return std::fabs(value); });
}

void write_half(std::byte* at, float value) noexcept {
  const auto half = float_to_half(value);
  std::memcpy(at, &half, sizeof half);
}

void quantise_q8(const std::array<float, kQ8Elems>& values, std::byte* block) noexcept {
  const auto scale = std::fabs(signed_peak(values)) / 127;
  const auto inverse = scale == 0 ? 0.0F : 1 / scale;
  write_half(block, scale);
  for (std::size_t i = 0; i < values.size(); ++i) {
    block[sizeof(std::uint16_t) + i] =
        static_cast<std::byte>(static_cast<std::int8_t>(std::round(values[i] * inverse)));
  }
}

using Group = std::array<float, kGroupElems>;

/// To the nearest integer, ties to even, for magnitudes below 2^22: adding this leaves no place for
/// fractions.
float to_integer(float value) noexcept {
  constexpr float kNoFractions = 0x1.8p23F;
  return value + kNoFractions - kNoFractions;
}

float nearest_level(float value, float inverse_scale) noexcept {
  return to_integer(std::clamp(value * inverse_scale, -32.0F, 31.0F));
}

float inverse_of(float scale) noexcept {
  return scale == 0 ? 0 : 1 / scale;
}

/// The scale of a group: levels reach from -32 to 31, so the peak goes to the negative end.
float group_scale(const Group& values) noexcept {
  constexpr std::array kLevels{-32.0F, -31.5F, -31.0F, -32.5F, -33.0F, -30.5F, -33.5F};
  const auto peak = signed_peak(values);
  auto best_scale = 0.0F;
  auto best_error = INFINITY;
  for (const auto level : kLevels) {
    const auto scale = peak / level;
    const auto inverse = inverse_of(scale);
    auto error = 0.0F;
    for (const auto value : values) {
      const auto off = value - nearest_level(value, inverse) * scale;
      error += off * off;
    }
    if (error >= best_error) continue;
    best_error = error;
    best_scale = scale;
  }
  return best_scale;
}

/// Q6_K, 210 bytes: low 4 bits of each half of 128 elements in 64 bytes, high 2 bits in 64 bytes for all, 16
/// int8 scales, and the fp16 scale of those.
void quantise_q6(const std::array<float, kQ6Elems>& values, std::byte* block) noexcept {
  constexpr std::size_t kHighAt = 128;
  constexpr std::size_t kScalesAt = 192;
  constexpr std::size_t kScaleAt = 208;
  std::array<Group, kGroups> groups;
  std::memcpy(groups.data(), values.data(), sizeof values);
  std::array<float, kGroups> scales;
  std::ranges::transform(groups, scales.begin(), group_scale);
  // The largest scale becomes -128; what fp16 makes of the unit is what levels are chosen for.
  write_half(block + kScaleAt, signed_peak(scales) / -128);
  std::uint16_t half = 0;
  std::memcpy(&half, block + kScaleAt, sizeof half);
  const auto unit = half_to_float(half);
  std::array<std::uint8_t, kQ6Elems> levels;
  for (std::size_t g = 0; g < kGroups; ++g) {
    const auto steps = unit == 0 ? 0.0F : to_integer(std::clamp(scales[g] / unit, -128.0F, 127.0F));
    block[kScalesAt + g] = static_cast<std::byte>(static_cast<std::int8_t>(steps));
    const auto inverse = inverse_of(unit * steps);
    for (std::size_t i = 0; i < kGroupElems; ++i) {
      levels[g * kGroupElems + i] = static_cast<std::uint8_t>(nearest_level(groups[g][i], inverse) + 32);
    }
  }
  for (std::size_t part = 0; part < 2; ++part) {
    const auto* level = levels.data() + 128 * part;
    for (std::size_t i = 0; i < 32; ++i) {
      const auto a = level[i];
      const auto b = level[i + 32];
      const auto c = level[i + 64];
      const auto d = level[i + 96];
      block[64 * part + i] = static_cast<std::byte>((a & 15) | (c & 15) << 4);
      block[64 * part + i + 32] = static_cast<std::byte>((b & 15) | (d & 15) << 4);
      block[kHighAt + 32 * part + i] =
          static_cast<std::byte>(a >> 4 | (b >> 4) << 2 | (c >> 4) << 4 | (d >> 4) << 6);
    }
  }
}

template <std::size_t kElems>
std::array<float, kElems> elements(TensorType type, const std::byte* row, std::size_t first) noexcept {
  std::array<float, kElems> values;
  for (std::size_t i = 0; i < kElems; ++i) values[i] = element(type, row, first + i);
  return values;
}

}  // namespace

bool can_quantise(TensorType from, TensorType to) noexcept {
  const bool is_float = from == TensorType::f32 || from == TensorType::f16 || from == TensorType::bf16;
  return is_float && (to == TensorType::q8_0 || to == TensorType::q6_k);
}

void quantise_row(TensorType from, std::span<const std::byte> row, TensorType to,
                  std::span<std::byte> blocks) noexcept {
  const auto& info = tensor_type_info(to);
  const auto count = blocks.size() / info.block_bytes;
  for (std::size_t i = 0; i < count; ++i) {
    auto* block = blocks.data() + i * info.block_bytes;
    if (to == TensorType::q8_0) {
      quantise_q8(elements<kQ8Elems>(from, row.data(), i * kQ8Elems), block);
    } else {
      quantise_q6(elements<kQ6Elems>(from, row.data(), i * kQ6Elems), block);
    }
  }
}

}  // namespace tandem::model
