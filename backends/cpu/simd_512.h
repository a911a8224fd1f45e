#pragma once

// Lane operations on 512-bit registers (AVX-512 F, BW, DQ, VL and VNNI).  See simd.h.

#include <immintrin.h>

#include "backends/cpu/simd_256.h"

namespace tandem::cpu {
namespace {

TANDEM_INLINE __m512 add(__m512 a, __m512 b) {
  return _mm512_add_ps(a, b);
}
TANDEM_INLINE __m512 sub(__m512 a, __m512 b) {
  return _mm512_sub_ps(a, b);
}
TANDEM_INLINE __m512 mul(__m512 a, __m512 b) {
  return _mm512_mul_ps(a, b);
}
TANDEM_INLINE __m512 div(__m512 a, __m512 b) {
  return _mm512_div_ps(a, b);
}
TANDEM_INLINE __m512 add_exact_product(__m512 sum, __m512 a, __m512 b) {
  return _mm512_fmadd_ps(a, b, sum);
}
TANDEM_INLINE __m512 min(__m512 a, __m512 b) {
  return _mm512_min_ps(a, b);
}
TANDEM_INLINE __m512 max(__m512 a, __m512 b) {
  return _mm512_max_ps(a, b);
}
TANDEM_INLINE __m512 abs(__m512 a) {
  return _mm512_abs_ps(a);
}
TANDEM_INLINE __m512 copy_sign(__m512 magnitude, __m512 sign) {
  const __m512 bit = _mm512_set1_ps(-0.0f);
  return _mm512_or_ps(_mm512_andnot_ps(bit, magnitude), _mm512_and_ps(bit, sign));
}
TANDEM_INLINE __m512 round_nearest(__m512 a) {
  return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
TANDEM_INLINE __m512 less_select(__m512 a, __m512 b, __m512 yes, __m512 no) {
  return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), no, yes);
}
TANDEM_INLINE __m512 to_float(__m512i a) {
  return _mm512_cvtepi32_ps(a);
}
TANDEM_INLINE __m512i to_int(__m512 a) {
  return _mm512_cvttps_epi32(a);
}
TANDEM_INLINE __m512 exp2_int(__m512i a) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_add_epi32(a, _mm512_set1_epi32(127)), 23));
}
TANDEM_INLINE float reduce_add(__m512 a) {
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  return reduce_add(_mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
TANDEM_INLINE __m128 reduce_add4(__m512 a, __m512 b, __m512 c, __m512 d) {
  const __m512 ab = _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
  const __m512 cd = _mm512_add_ps(_mm512_shuffle_f32x4(c, d, 0x44), _mm512_shuffle_f32x4(c, d, 0xee));
  const __m512 all = _mm512_add_ps(_mm512_shuffle_f32x4(ab, cd, 0x88), _mm512_shuffle_f32x4(ab, cd, 0xdd));
  const __m512 pairs = _mm512_add_ps(all, _mm512_permute_ps(all, 0x4e));
  const __m512 sums = _mm512_add_ps(pairs, _mm512_permute_ps(pairs, 0xb1));
  const __m512i firsts = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
  return _mm512_castps512_ps128(_mm512_permutexvar_ps(firsts, sums));
}
TANDEM_INLINE float reduce_max(__m512 a) {
  const __m256 half = _mm256_max_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
  return reduce_max(_mm_max_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
}
TANDEM_INLINE __m512i dot4(__m512i sum, __m512i weights, __m512i x) {
  return _mm512_dpbusd_epi32(sum, weights, x);
}
/// The same of four activations that all lanes share.
TANDEM_INLINE __m512i dot4(__m512i sum, __m512i weights, const std::int8_t* x) {
  // As one instruction, which the compiler makes two of: fewer in flight a product.
  asm("vpdpbusd %2%{1to16%}, %1, %0"
      : "+v"(sum)
      : "v"(weights), "m"(*reinterpret_cast<const std::int32_t*>(x)));
  return sum;
}
TANDEM_INLINE __m512i dot2(__m512i a, __m512i b) {
  return _mm512_madd_epi16(a, b);
}
TANDEM_INLINE __m512i low_twice(__m512i a) {
  return _mm512_or_si512(_mm512_slli_epi32(a, 16), _mm512_and_si512(a, _mm512_set1_epi32(0xffff)));
}
TANDEM_INLINE __m512i unpack_lo32(__m512i a, __m512i b) {
  return _mm512_unpacklo_epi32(a, b);
}
TANDEM_INLINE __m512i unpack_hi32(__m512i a, __m512i b) {
  return _mm512_unpackhi_epi32(a, b);
}
TANDEM_INLINE __m512i unpack_lo64(__m512i a, __m512i b) {
  return _mm512_unpacklo_epi64(a, b);
}
TANDEM_INLINE __m512i unpack_hi64(__m512i a, __m512i b) {
  return _mm512_unpackhi_epi64(a, b);
}
TANDEM_INLINE __m512i shuffle(__m512i bytes, __m512i indices) {
  return _mm512_shuffle_epi8(bytes, indices);
}
TANDEM_INLINE __m512i held(__m512i bytes) {
  asm("" : "+v"(bytes));
  return bytes;
}
TANDEM_INLINE __m512 held(__m512 floats) {
  asm("" : "+v"(floats));
  return floats;
}

using Bytes64 = std::uint8_t __attribute__((vector_size(64)));

TANDEM_INLINE Bytes64 where_set(Bytes64 bytes, Bytes64 bits, Bytes64 value) {
  return (Bytes64)_mm512_maskz_mov_epi8(_mm512_test_epi8_mask((__m512i)bytes, (__m512i)bits), (__m512i)value);
}
TANDEM_INLINE Bytes64 subtract_where(Bytes64 bytes, Bytes64 where, Bytes64 bits, Bytes64 less) {
  return (Bytes64)_mm512_mask_sub_epi8((__m512i)bytes, _mm512_test_epi8_mask((__m512i)where, (__m512i)bits),
                                       (__m512i)bytes, (__m512i)less);
}

/// Words `stride` bytes apart.  Machines with AVX-512 gather in the time of the loads, beside all arithmetic.
TANDEM_INLINE __m512i gather_words_as(As<__m512i>, const std::uint8_t* first, std::size_t stride) {
  const __m512i rows = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  const __m512i offsets = _mm512_mullo_epi32(rows, _mm512_set1_epi32(static_cast<int>(stride)));
  return _mm512_i32gather_epi32(offsets, first, 1);
}

TANDEM_INLINE __m512 broadcast_as(As<__m512>, float value) {
  return _mm512_set1_ps(value);
}
TANDEM_INLINE __m512i broadcast_as(As<__m512i>, std::int32_t value) {
  return _mm512_set1_epi32(value);
}
TANDEM_INLINE __m512 load_as(As<__m512>, const float* from) {
  return _mm512_loadu_ps(from);
}
TANDEM_INLINE __m512i load_as(As<__m512i>, const std::uint8_t* from) {
  return _mm512_loadu_si512(from);
}
TANDEM_INLINE __m512i load_sixteen_as(As<__m512i>, const std::uint8_t* from) {
  return _mm512_broadcast_i32x4(load_as(As<__m128i>{}, from));
}
TANDEM_INLINE void store(float* to, __m512 value) {
  _mm512_storeu_ps(to, value);
}
TANDEM_INLINE void store(std::uint8_t* to, __m512i value) {
  _mm512_storeu_si512(to, value);
}
TANDEM_INLINE void store_low_bytes(std::int8_t* to, __m512i value) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(value));
}
/// As many bytes as there are words.
TANDEM_INLINE __m512i widen_bytes_as(As<__m512i>, const std::uint8_t* from) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
TANDEM_INLINE __m512i gather_as(As<__m512i>, const std::uint8_t* const* from) {
  const __m256i low = gather_as(As<__m256i>{}, from);
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), gather_as(As<__m256i>{}, from + 2), 1);
}
TANDEM_INLINE __m512 load_half_as(As<__m512>, const std::uint16_t* from) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
}
TANDEM_INLINE void store_half(std::uint16_t* to, __m512 value) {
  const __m512 finite = min(_mm512_set1_ps(65504.0f), max(_mm512_set1_ps(-65504.0f), value));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(finite, _MM_FROUND_TO_NEAREST_INT));
}
TANDEM_INLINE __m512 load_bf16_as(As<__m512>, const std::uint16_t* from) {
  const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
  return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}
TANDEM_INLINE __m512 load_int8_as(As<__m512>, const std::int8_t* from) {
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))));
}

struct Simd512 {
  using SixteenBytes = __m128i;
  using Ints = __m512i;
  using Floats = __m512;
  static constexpr int kRegisters = 32;
  static constexpr Dots kDots = Dots::of_four;
  static constexpr bool kConvertsInRegisters = false;
  static constexpr bool kConvertsHalves = true;
};

}  // namespace
}  // namespace tandem::cpu
