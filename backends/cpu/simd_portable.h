#pragma once

// Lane operations for machines of which nothing is known but that a compiler makes vectors of sixteen bytes
// of what they have.  See simd.h.

#include "backends/cpu/simd_vectors.h"

namespace tandem::cpu {
namespace {

/// sum + a * b where fp32 holds the product exactly: fused or not, the result is the same.
TANDEM_INLINE Floats4 add_exact_product(Floats4 sum, Floats4 a, Floats4 b) {
  return sum + a * b;
}
/// To nearest, ties to even, of numbers below 2^22: those so large that adding one leaves no fraction.
TANDEM_INLINE Floats4 round_nearest(Floats4 a) {
  constexpr float kWhole = 0x1.8p23f;
  return copy_sign((a + kWhole) - kWhole, a);
}

/// Each second int16's low or high byte, with its sign.
TANDEM_INLINE Shorts8 low_signed(Ints4 a) {
  using Signed8 = std::int16_t __attribute__((vector_size(16)));
  return (Shorts8)((Signed8)((Shorts8)a << 8) >> 8);
}
TANDEM_INLINE Shorts8 high_signed(Ints4 a) {
  using Signed8 = std::int16_t __attribute__((vector_size(16)));
  return (Shorts8)((Signed8)a >> 8);
}
/// Products of bytes, each two neighbours added up to an int16: u8 weights of at most seven bits, or
/// signed ones, times int8 in [-127, 127].
TANDEM_INLINE Ints4 multiply_bytes(Ints4 weights, Ints4 x) {
  const auto words = (Shorts8)weights;
  return (Ints4)((words & 255) * low_signed(x) + (words >> 8) * high_signed(x));
}
TANDEM_INLINE Ints4 multiply_signed_bytes(Ints4 weights, Ints4 x) {
  return (Ints4)(low_signed(weights) * low_signed(x) + high_signed(weights) * high_signed(x));
}
/// In each lane, the sum of two products of int16, and the same added to a sum.
TANDEM_INLINE Ints4 dot2(Ints4 a, Ints4 b) {
  return (a << 16 >> 16) * (b << 16 >> 16) + (a >> 16) * (b >> 16);
}
TANDEM_INLINE Ints4 dot2(Ints4 sum, Ints4 a, Ints4 b) {
  return sum + dot2(a, b);
}
/// bytes[index] of indices below 16.
TANDEM_INLINE Ints4 shuffle(Ints4 bytes, Ints4 indices) {
  std::uint8_t from[16], found[16];
  __builtin_memcpy(from, &bytes, sizeof from);
  __builtin_memcpy(found, &indices, sizeof found);
  for (std::uint8_t& byte : found) byte = from[byte & 15];
  return vector_at<Ints4>(found);
}
/// The sum of sixteen int8.
TANDEM_INLINE std::int16_t sum_of_sixteen(const std::int8_t* quants) {
  int sum = 0;
  for (int i = 0; i < 16; ++i) sum += quants[i];
  return static_cast<std::int16_t>(sum);
}

/// The low byte of each lane, which holds a value of int8.
TANDEM_INLINE void store_low_bytes(std::int8_t* to, Ints4 value) {
  for (int i = 0; i < 4; ++i) to[i] = static_cast<std::int8_t>(value[i]);
}
/// As half_to_float does.
TANDEM_INLINE Floats4 load_half_as(As<Floats4>, const std::uint16_t* from) {
  return Floats4{half_to_float(from[0]), half_to_float(from[1]), half_to_float(from[2]),
                 half_to_float(from[3])};
}
/// As float_to_half does.
TANDEM_INLINE void store_half(std::uint16_t* to, Floats4 value) {
  for (int i = 0; i < 4; ++i) to[i] = float_to_half(value[i]);
}

/// What kernels choose their shapes by (simd.h).
struct SimdPortable {
  using SixteenBytes = Ints4;
  using Ints = Ints4;
  using Floats = Floats4;
  static constexpr int kRegisters = 16;
  static constexpr Dots kDots = Dots::of_two;
  static constexpr bool kConvertsInRegisters = false;
  static constexpr bool kConvertsHalves = false;
};

}  // namespace
}  // namespace tandem::cpu
