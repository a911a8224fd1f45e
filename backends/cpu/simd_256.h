#pragma once

// Lane operations on 256-bit registers (AVX2 and F16C; AVX-VNNI where it is compiled for).  See simd.h.

#include <immintrin.h>

#include "backends/cpu/simd_128.h"

namespace tandem::cpu {
namespace {

TANDEM_INLINE __m256 add(__m256 a, __m256 b) {
  return _mm256_add_ps(a, b);
}
TANDEM_INLINE __m256 sub(__m256 a, __m256 b) {
  return _mm256_sub_ps(a, b);
}
TANDEM_INLINE __m256 mul(__m256 a, __m256 b) {
  return _mm256_mul_ps(a, b);
}
TANDEM_INLINE __m256 div(__m256 a, __m256 b) {
  return _mm256_div_ps(a, b);
}
TANDEM_INLINE __m256 add_exact_product(__m256 sum, __m256 a, __m256 b) {
  return _mm256_fmadd_ps(a, b, sum);
}
TANDEM_INLINE __m256 min(__m256 a, __m256 b) {
  return _mm256_min_ps(a, b);
}
TANDEM_INLINE __m256 max(__m256 a, __m256 b) {
  return _mm256_max_ps(a, b);
}
TANDEM_INLINE __m256 abs(__m256 a) {
  return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
TANDEM_INLINE __m256 copy_sign(__m256 magnitude, __m256 sign) {
  const __m256 bit = _mm256_set1_ps(-0.0f);
  return _mm256_or_ps(_mm256_andnot_ps(bit, magnitude), _mm256_and_ps(bit, sign));
}
TANDEM_INLINE __m256 round_nearest(__m256 a) {
  return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
TANDEM_INLINE __m256 less_select(__m256 a, __m256 b, __m256 yes, __m256 no) {
  return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(a, b, _CMP_LT_OQ));
}
TANDEM_INLINE __m256 to_float(__m256i a) {
  return _mm256_cvtepi32_ps(a);
}
TANDEM_INLINE __m256i to_int(__m256 a) {
  return _mm256_cvttps_epi32(a);
}
TANDEM_INLINE __m256 exp2_int(__m256i a) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(a, _mm256_set1_epi32(127)), 23));
}
TANDEM_INLINE float reduce_add(__m256 a) {
  return reduce_add(_mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
TANDEM_INLINE __m128 reduce_add4(__m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  const __m256 cd = _mm256_add_ps(_mm256_permute2f128_ps(c, d, 0x20), _mm256_permute2f128_ps(c, d, 0x31));
  return reduce_add4(_mm256_castps256_ps128(ab), _mm256_extractf128_ps(ab, 1), _mm256_castps256_ps128(cd),
                     _mm256_extractf128_ps(cd, 1));
}
TANDEM_INLINE float reduce_max(__m256 a) {
  return reduce_max(_mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1)));
}
#if defined(__AVXVNNI__)
/// Adds four products of bytes to each sum.
TANDEM_INLINE __m256i dot4(__m256i sum, __m256i weights, __m256i x) {
  return _mm256_dpbusd_avx_epi32(sum, weights, x);
}
#endif
TANDEM_INLINE __m256i multiply_bytes(__m256i weights, __m256i x) {
  return _mm256_maddubs_epi16(weights, x);
}
TANDEM_INLINE __m256i multiply_signed_bytes(__m256i weights, __m256i x) {
  return _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(x, weights));
}
TANDEM_INLINE __m256i add_words(__m256i a, __m256i b) {
  return _mm256_add_epi16(a, b);
}
TANDEM_INLINE __m256i dot2(__m256i a, __m256i b) {
  return _mm256_madd_epi16(a, b);
}
TANDEM_INLINE __m256i dot2(__m256i sum, __m256i a, __m256i b) {
  return _mm256_add_epi32(sum, dot2(a, b));
}
TANDEM_INLINE __m256i low_twice(__m256i a) {
  return _mm256_shuffle_epi8(a, _mm256_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13,  //
                                                 0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13));
}
TANDEM_INLINE __m256i unpack_lo32(__m256i a, __m256i b) {
  return _mm256_unpacklo_epi32(a, b);
}
TANDEM_INLINE __m256i unpack_hi32(__m256i a, __m256i b) {
  return _mm256_unpackhi_epi32(a, b);
}
TANDEM_INLINE __m256i unpack_lo64(__m256i a, __m256i b) {
  return _mm256_unpacklo_epi64(a, b);
}
TANDEM_INLINE __m256i unpack_hi64(__m256i a, __m256i b) {
  return _mm256_unpackhi_epi64(a, b);
}
TANDEM_INLINE __m256i shuffle(__m256i bytes, __m256i indices) {
  return _mm256_shuffle_epi8(bytes, indices);
}
TANDEM_INLINE __m256i as_it_is(__m256i value) {
  asm("" : "+x"(value));
  return value;
}
TANDEM_INLINE __m256i held(__m256i bytes) {
  return bytes;
}

TANDEM_INLINE __m256 broadcast_as(As<__m256>, float value) {
  return _mm256_set1_ps(value);
}
TANDEM_INLINE __m256i broadcast_as(As<__m256i>, std::int32_t value) {
  return _mm256_set1_epi32(value);
}
TANDEM_INLINE __m256 load_as(As<__m256>, const float* from) {
  return _mm256_loadu_ps(from);
}
TANDEM_INLINE __m256i load_as(As<__m256i>, const std::uint8_t* from) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
TANDEM_INLINE __m256i load_sixteen_as(As<__m256i>, const std::uint8_t* from) {
  return _mm256_broadcastsi128_si256(load_as(As<__m128i>{}, from));
}
TANDEM_INLINE void store(float* to, __m256 value) {
  _mm256_storeu_ps(to, value);
}
TANDEM_INLINE void store(std::uint8_t* to, __m256i value) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), value);
}
TANDEM_INLINE void store_low_bytes(std::int8_t* to, __m256i value) {
  store_low_bytes(to, _mm256_castsi256_si128(value));
  store_low_bytes(to + 4, _mm256_extracti128_si256(value, 1));
}
/// As many bytes as there are words.
TANDEM_INLINE __m256i widen_bytes_as(As<__m256i>, const std::uint8_t* from) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from)));
}
TANDEM_INLINE __m256i gather_as(As<__m256i>, const std::uint8_t* const* from) {
  const __m128i low = gather_as(As<__m128i>{}, from);
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), gather_as(As<__m128i>{}, from + 1), 1);
}
TANDEM_INLINE __m256 load_half_as(As<__m256>, const std::uint16_t* from) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
}
TANDEM_INLINE void store_half(std::uint16_t* to, __m256 value) {
  // NaN is the second operand of both and stays what it is.
  const __m256 finite = min(_mm256_set1_ps(65504.0f), max(_mm256_set1_ps(-65504.0f), value));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(finite, _MM_FROUND_TO_NEAREST_INT));
}
TANDEM_INLINE __m256 load_bf16_as(As<__m256>, const std::uint16_t* from) {
  const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
  return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}
TANDEM_INLINE __m256 load_int8_as(As<__m256>, const std::int8_t* from) {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(from))));
}

struct Simd256 {
  using SixteenBytes = __m128i;
  using Ints = __m256i;
  using Floats = __m256;
  static constexpr int kRegisters = 16;
#if defined(__AVXVNNI__)
  static constexpr Dots kDots = Dots::of_four;
#else
  static constexpr Dots kDots = Dots::of_two;
#endif
  static constexpr bool kConvertsInRegisters = false;
  static constexpr bool kConvertsHalves = true;
};

}  // namespace
}  // namespace tandem::cpu
