#pragma once

#include <cstdint>

#if defined(__F16C__)
#include <immintrin.h>
#endif

namespace tandem::cpu {

/// IEEE fp16 to fp32, exact for every bit pattern.
[[gnu::always_inline]] inline float half_to_float(std::uint16_t half) noexcept {
#if defined(__F16C__)
  return _cvtsh_ss(half);
#else
  // Exponent and mantissa move up and are rescaled by 2^112, which makes subnormals right too; infinity and
  // NaN keep their exponent.
  const std::uint32_t magnitude = (half & 0x7fffu) << 13;
  const float scaled = __builtin_bit_cast(float, magnitude) * 0x1p112f;
  const std::uint32_t special = magnitude >= 0x0f800000u ? 0x7f800000u : 0u;
  const std::uint32_t sign = (half & 0x8000u) << 16;
  return __builtin_bit_cast(float, __builtin_bit_cast(std::uint32_t, scaled) | special | sign);
#endif
}

/// fp32 to IEEE fp16, to nearest, ties to even; beyond the largest finite half the largest finite half, so
/// that one large value cannot turn a cache into infinities (model-spec 8, trap 1).
[[gnu::always_inline]] inline std::uint16_t float_to_half(float value) noexcept {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477fe000u) return static_cast<std::uint16_t>(sign | 0x7bffu);
  if (magnitude < 0x38800000u) {  // a subnormal half: adding 0.5 leaves round(value * 2^24) in the low bits
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    return static_cast<std::uint16_t>(sign | (__builtin_bit_cast(std::uint32_t, shifted) & 0x7ffu));
  }
  const std::uint32_t ties_to_even = (magnitude >> 13) & 1u;
  const std::uint32_t rounded = magnitude + 0x0fffu + ties_to_even;
  return static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
}

}  // namespace tandem::cpu
