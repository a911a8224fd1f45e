#pragma once

// Lane operations of AArch64, with its dot products where they are compiled for.  See simd.h.
//
// SDOT multiplies signed bytes, as which quants of seven bits go unchanged and those of eight without their
// offset of 128 (Products::signed_bytes): USDOT (I8MM) would take no fewer instructions.
//
// Nobody has measured these kernels.  For 32 columns of sixteen repacked rows times one row of activations,
// GCC 12 makes 138 instructions of Q4_0 and 127 of Q8_0, 32 of them SDOT; with AVX2 it makes 95 and 111, of
// twice as many bytes each.

#include <arm_neon.h>

#include "backends/cpu/simd_vectors.h"

namespace tandem::cpu {
namespace {

/// sum + a * b where fp32 holds the product exactly: fused or not, the result is the same.
TANDEM_INLINE Floats4 add_exact_product(Floats4 sum, Floats4 a, Floats4 b) {
  return (Floats4)vfmaq_f32((float32x4_t)sum, (float32x4_t)a, (float32x4_t)b);
}
TANDEM_INLINE Floats4 round_nearest(Floats4 a) {
  return (Floats4)vrndnq_f32((float32x4_t)a);
}

/// Products of signed bytes, each two neighbours added up to an int16, which two times 127 * 128 fit into.
TANDEM_INLINE int16x8_t multiply_pairs(Ints4 weights, Ints4 x) {
  const auto w = (int8x16_t)weights, by = (int8x16_t)x;
  return vpaddq_s16(vmull_s8(vget_low_s8(w), vget_low_s8(by)), vmull_high_s8(w, by));
}
/// Adds four products of signed bytes to each sum.
TANDEM_INLINE Ints4 dot4(Ints4 sum, Ints4 weights, Ints4 x) {
#if defined(__ARM_FEATURE_DOTPROD)
  return (Ints4)vdotq_s32((int32x4_t)sum, (int8x16_t)weights, (int8x16_t)x);
#else
  return (Ints4)vpadalq_s16((int32x4_t)sum, multiply_pairs(weights, x));
#endif
}
/// Products of bytes below 128, each two neighbours added up to an int16.
TANDEM_INLINE Ints4 multiply_bytes(Ints4 weights, Ints4 x) {
  return (Ints4)multiply_pairs(weights, x);
}
/// In each lane, the sum of two products of int16, and the same added to a sum.
TANDEM_INLINE Ints4 dot2(Ints4 a, Ints4 b) {
  const auto words = (int16x8_t)a, by = (int16x8_t)b;
  return (Ints4)vpaddq_s32(vmull_s16(vget_low_s16(words), vget_low_s16(by)), vmull_high_s16(words, by));
}
TANDEM_INLINE Ints4 dot2(Ints4 sum, Ints4 a, Ints4 b) {
  return sum + dot2(a, b);
}
/// bytes[index] of indices below 16.
TANDEM_INLINE Ints4 shuffle(Ints4 bytes, Ints4 indices) {
  return (Ints4)vqtbl1q_u8((uint8x16_t)bytes, (uint8x16_t)indices);
}
/// The sum of sixteen int8.
TANDEM_INLINE std::int16_t sum_of_sixteen(const std::int8_t* quants) {
  return vaddlvq_s8(vld1q_s8(quants));
}

/// The low byte of each lane, which holds a value of int8.
TANDEM_INLINE void store_low_bytes(std::int8_t* to, Ints4 value) {
  const int16x4_t words = vmovn_s32((int32x4_t)value);
  const int8x8_t bytes = vmovn_s16(vcombine_s16(words, words));
  __builtin_memcpy(to, &bytes, 4);
}
TANDEM_INLINE Floats4 load_half_as(As<Floats4>, const std::uint16_t* from) {
  return (Floats4)vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(from)));
}
TANDEM_INLINE void store_half(std::uint16_t* to, Floats4 value) {
  // NaN is the second operand of both and stays what it is.
  const Floats4 largest = broadcast_as(As<Floats4>{}, 65504.0f);
  const Floats4 finite = min(largest, max(-largest, value));
  vst1_u16(to, vreinterpret_u16_f16(vcvt_f16_f32((float32x4_t)finite)));
}

/// What kernels choose their shapes by (simd.h).
struct SimdNeon {
  using SixteenBytes = Ints4;
  using Ints = Ints4;
  using Floats = Floats4;
  static constexpr int kRegisters = 32;
  static constexpr Dots kDots = Dots::of_four_signed;
  static constexpr bool kConvertsInRegisters = true;  ///< longer vectors: GCC 12 takes them apart
  static constexpr bool kConvertsHalves = true;
};

}  // namespace
}  // namespace tandem::cpu
