#pragma once

// Lane operations on 128-bit registers (SSE4.1, part of x86-64-v2).  See simd.h.

#include <immintrin.h>

#include "backends/cpu/half.h"
#include "backends/cpu/simd_register.h"

namespace tandem::cpu {
namespace {

TANDEM_INLINE __m128 add(__m128 a, __m128 b) {
  return _mm_add_ps(a, b);
}
TANDEM_INLINE __m128 sub(__m128 a, __m128 b) {
  return _mm_sub_ps(a, b);
}
TANDEM_INLINE __m128 mul(__m128 a, __m128 b) {
  return _mm_mul_ps(a, b);
}
TANDEM_INLINE __m128 div(__m128 a, __m128 b) {
  return _mm_div_ps(a, b);
}
/// sum + a * b where fp32 holds the product exactly: fused or not, the result is the same.
TANDEM_INLINE __m128 add_exact_product(__m128 sum, __m128 a, __m128 b) {
  return _mm_add_ps(sum, _mm_mul_ps(a, b));
}
TANDEM_INLINE __m128 min(__m128 a, __m128 b) {
  return _mm_min_ps(a, b);
}
TANDEM_INLINE __m128 max(__m128 a, __m128 b) {
  return _mm_max_ps(a, b);
}
TANDEM_INLINE __m128 abs(__m128 a) {
  return _mm_andnot_ps(_mm_set1_ps(-0.0f), a);
}
TANDEM_INLINE __m128 copy_sign(__m128 magnitude, __m128 sign) {
  const __m128 bit = _mm_set1_ps(-0.0f);
  return _mm_or_ps(_mm_andnot_ps(bit, magnitude), _mm_and_ps(bit, sign));
}
TANDEM_INLINE __m128 round_nearest(__m128 a) {
  return _mm_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
TANDEM_INLINE __m128 less_select(__m128 a, __m128 b, __m128 yes, __m128 no) {
  return _mm_blendv_ps(no, yes, _mm_cmplt_ps(a, b));
}
TANDEM_INLINE __m128 to_float(__m128i a) {
  return _mm_cvtepi32_ps(a);
}
TANDEM_INLINE __m128i to_int(__m128 a) {
  return _mm_cvttps_epi32(a);
}
/// 2^a for integers a in [-126, 127].
TANDEM_INLINE __m128 exp2_int(__m128i a) {
  return _mm_castsi128_ps(_mm_slli_epi32(_mm_add_epi32(a, _mm_set1_epi32(127)), 23));
}
TANDEM_INLINE float reduce_add(__m128 a) {
  const __m128 pairs = _mm_add_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}
/// reduce_add of four, each with the additions in the same order.
TANDEM_INLINE __m128 reduce_add4(__m128 a, __m128 b, __m128 c, __m128 d) {
  const __m128 ab = _mm_add_ps(_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
  const __m128 cd = _mm_add_ps(_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
  return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}
TANDEM_INLINE float reduce_max(__m128 a) {
  const __m128 pairs = _mm_max_ps(a, _mm_movehl_ps(a, a));
  return _mm_cvtss_f32(_mm_max_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
}
/// Products of bytes, each two neighbours added up to an int16: u8 weights of at most seven bits, or
/// signed ones, times int8 in [-127, 127].
TANDEM_INLINE __m128i multiply_bytes(__m128i weights, __m128i x) {
  return _mm_maddubs_epi16(weights, x);
}
TANDEM_INLINE __m128i multiply_signed_bytes(__m128i weights, __m128i x) {
  return _mm_maddubs_epi16(_mm_abs_epi8(weights), _mm_sign_epi8(x, weights));
}
TANDEM_INLINE __m128i add_words(__m128i a, __m128i b) {
  return _mm_add_epi16(a, b);
}
TANDEM_INLINE __m128i sub_words(__m128i a, __m128i b) {
  return _mm_sub_epi16(a, b);
}
/// In each lane, the sum of two products of int16, and the same added to a sum.
TANDEM_INLINE __m128i dot2(__m128i a, __m128i b) {
  return _mm_madd_epi16(a, b);
}
TANDEM_INLINE __m128i dot2(__m128i sum, __m128i a, __m128i b) {
  return _mm_add_epi32(sum, dot2(a, b));
}
/// The low int16 of each lane, twice.
TANDEM_INLINE __m128i low_twice(__m128i a) {
  return _mm_shuffle_epi8(a, _mm_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13));
}
TANDEM_INLINE __m128i unpack_lo32(__m128i a, __m128i b) {
  return _mm_unpacklo_epi32(a, b);
}
TANDEM_INLINE __m128i unpack_hi32(__m128i a, __m128i b) {
  return _mm_unpackhi_epi32(a, b);
}
TANDEM_INLINE __m128i unpack_lo64(__m128i a, __m128i b) {
  return _mm_unpacklo_epi64(a, b);
}
TANDEM_INLINE __m128i unpack_hi64(__m128i a, __m128i b) {
  return _mm_unpackhi_epi64(a, b);
}
/// bytes[index] of indices below 16, within each sixteen bytes.
TANDEM_INLINE __m128i shuffle(__m128i bytes, __m128i indices) {
  return _mm_shuffle_epi8(bytes, indices);
}
/// The sum of sixteen int8.
TANDEM_INLINE std::int16_t sum_of_sixteen(const std::int8_t* quants) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(quants));
  // The instruction adds up bytes without a sign: with 128 added to each.
  const __m128i halves = _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());
  return static_cast<std::int16_t>(_mm_cvtsi128_si32(halves) + _mm_extract_epi16(halves, 4) - 16 * 128);
}
/// The value as it is: a compiler would take sums of integers apart, make all products of a group first and
/// then find that they are more than it has registers for.
TANDEM_INLINE __m128i as_it_is(__m128i value) {
  asm("" : "+x"(value));
  return value;
}
/// The bytes in a register, where there are enough.  A compiler would take them from memory for each use
/// instead, and loads are what one row of Q6_K and Q3_K waits for then: every second of their panels begins
/// amid a line, where a load counts twice.
TANDEM_INLINE __m128i held(__m128i bytes) {
  return bytes;
}

TANDEM_INLINE __m128 broadcast_as(As<__m128>, float value) {
  return _mm_set1_ps(value);
}
TANDEM_INLINE __m128i broadcast_as(As<__m128i>, std::int32_t value) {
  return _mm_set1_epi32(value);
}
TANDEM_INLINE __m128 load_as(As<__m128>, const float* from) {
  return _mm_loadu_ps(from);
}
TANDEM_INLINE __m128i load_as(As<__m128i>, const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
/// Sixteen bytes in each sixteen bytes of the register.
TANDEM_INLINE __m128i load_sixteen_as(As<__m128i>, const std::uint8_t* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}
TANDEM_INLINE void store(float* to, __m128 value) {
  _mm_storeu_ps(to, value);
}
TANDEM_INLINE void store(std::uint8_t* to, __m128i value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), value);
}
/// The low byte of each lane, which holds a value of int8.
TANDEM_INLINE void store_low_bytes(std::int8_t* to, __m128i value) {
  const __m128i words = _mm_packs_epi32(value, value);
  const std::int32_t bytes = _mm_cvtsi128_si32(_mm_packs_epi16(words, words));
  __builtin_memcpy(to, &bytes, sizeof bytes);
}
/// As many bytes as there are words.
TANDEM_INLINE __m128i widen_bytes_as(As<__m128i>, const std::uint8_t* from) {
  return _mm_cvtepu8_epi32(_mm_loadu_si32(from));
}
/// 16 bytes from each of as many places as the register has 128-bit lanes.
TANDEM_INLINE __m128i gather_as(As<__m128i>, const std::uint8_t* const* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(*from));
}
/// fp16 in the low half of each lane to fp32: exponent and mantissa moved up and rescaled by 2^112, which
/// also makes subnormals right; infinity and NaN keep their exponent.
TANDEM_INLINE __m128 halves_to_floats(__m128i half) {
  const __m128i magnitude = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x7fff)), 13);
  const __m128i sign = _mm_slli_epi32(_mm_and_si128(half, _mm_set1_epi32(0x8000)), 16);
  const __m128i special = _mm_cmpgt_epi32(magnitude, _mm_set1_epi32(0x0f7fffff));
  const __m128 scaled = _mm_mul_ps(_mm_castsi128_ps(magnitude), _mm_set1_ps(0x1p112f));
  const __m128i exponent = _mm_and_si128(special, _mm_set1_epi32(0x7f800000));
  return _mm_castsi128_ps(_mm_or_si128(_mm_or_si128(_mm_castps_si128(scaled), exponent), sign));
}
TANDEM_INLINE __m128 load_half_as(As<__m128>, const std::uint16_t* from) {
  return halves_to_floats(_mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}
/// To fp16 as float_to_half does.
TANDEM_INLINE void store_half(std::uint16_t* to, __m128 value) {
  alignas(16) float lanes[4];
  _mm_store_ps(lanes, value);
  for (int i = 0; i < 4; ++i) to[i] = float_to_half(lanes[i]);
}
TANDEM_INLINE __m128 load_bf16_as(As<__m128>, const std::uint16_t* from) {
  const __m128i wide = _mm_cvtepu16_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
  return _mm_castsi128_ps(_mm_slli_epi32(wide, 16));
}
TANDEM_INLINE __m128 load_int8_as(As<__m128>, const std::int8_t* from) {
  std::int32_t bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return _mm_cvtepi32_ps(_mm_cvtepi8_epi32(_mm_cvtsi32_si128(bytes)));
}

/// What kernels choose their shapes by (simd.h).
struct Simd128 {
  using SixteenBytes = __m128i;
  using Ints = __m128i;
  using Floats = __m128;
  static constexpr int kRegisters = 16;
  static constexpr Dots kDots = Dots::of_two;
  static constexpr bool kConvertsInRegisters = false;
  static constexpr bool kConvertsHalves = false;
};

}  // namespace
}  // namespace tandem::cpu
