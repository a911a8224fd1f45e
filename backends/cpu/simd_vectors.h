#pragma once

// Lane operations on vectors of sixteen bytes that compilers make instructions of on any machine that has
// some.  What they do not find by themselves is in simd_portable.h or, for AArch64, in simd_neon.h.

#include "backends/cpu/half.h"
#include "backends/cpu/simd_register.h"

namespace tandem::cpu {
namespace {

using Floats4 = float __attribute__((vector_size(16)));
using Ints4 = std::int32_t __attribute__((vector_size(16)));
using Unsigned4 = std::uint32_t __attribute__((vector_size(16)));
using Shorts8 = std::uint16_t __attribute__((vector_size(16)));

/// The numbers at `from` as a vector.
template <class Vector>
TANDEM_INLINE Vector vector_at(const void* from) {
  Vector vector;
  __builtin_memcpy(&vector, from, sizeof vector);
  return vector;
}

TANDEM_INLINE Floats4 add(Floats4 a, Floats4 b) {
  return a + b;
}
TANDEM_INLINE Floats4 sub(Floats4 a, Floats4 b) {
  return a - b;
}
TANDEM_INLINE Floats4 mul(Floats4 a, Floats4 b) {
  return a * b;
}
TANDEM_INLINE Floats4 div(Floats4 a, Floats4 b) {
  return a / b;
}
/// As on x86: the second one where either is no number.
TANDEM_INLINE Floats4 min(Floats4 a, Floats4 b) {
  return a < b ? a : b;
}
TANDEM_INLINE Floats4 max(Floats4 a, Floats4 b) {
  return a > b ? a : b;
}
TANDEM_INLINE Floats4 abs(Floats4 a) {
  return (Floats4)((Unsigned4)a & 0x7fffffffU);
}
TANDEM_INLINE Floats4 copy_sign(Floats4 magnitude, Floats4 sign) {
  return (Floats4)(((Unsigned4)magnitude & 0x7fffffffU) | ((Unsigned4)sign & 0x80000000U));
}
TANDEM_INLINE Floats4 less_select(Floats4 a, Floats4 b, Floats4 yes, Floats4 no) {
  return a < b ? yes : no;
}
TANDEM_INLINE Floats4 to_float(Ints4 a) {
  return __builtin_convertvector(a, Floats4);
}
TANDEM_INLINE Ints4 to_int(Floats4 a) {
  return __builtin_convertvector(a, Ints4);
}
/// 2^a for integers a in [-126, 127].
TANDEM_INLINE Floats4 exp2_int(Ints4 a) {
  return (Floats4)((a + 127) << 23);
}
TANDEM_INLINE float reduce_add(Floats4 a) {
  return (a[0] + a[2]) + (a[1] + a[3]);
}
/// reduce_add of four, each with the additions in the same order.
TANDEM_INLINE Floats4 reduce_add4(Floats4 a, Floats4 b, Floats4 c, Floats4 d) {
  const Floats4 ab = __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7);
  const Floats4 cd = __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7);
  return __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
}
TANDEM_INLINE float reduce_max(Floats4 a) {
  const float even = a[0] > a[2] ? a[0] : a[2], odd = a[1] > a[3] ? a[1] : a[3];
  return even > odd ? even : odd;
}
TANDEM_INLINE Ints4 add_words(Ints4 a, Ints4 b) {
  return (Ints4)((Shorts8)a + (Shorts8)b);
}
TANDEM_INLINE Ints4 sub_words(Ints4 a, Ints4 b) {
  return (Ints4)((Shorts8)a - (Shorts8)b);
}
/// The low int16 of each lane, twice.
TANDEM_INLINE Ints4 low_twice(Ints4 a) {
  return (Ints4)(((Unsigned4)a & 0xffffU) | ((Unsigned4)a << 16));
}
TANDEM_INLINE Ints4 unpack_lo32(Ints4 a, Ints4 b) {
  return __builtin_shufflevector(a, b, 0, 4, 1, 5);
}
TANDEM_INLINE Ints4 unpack_hi32(Ints4 a, Ints4 b) {
  return __builtin_shufflevector(a, b, 2, 6, 3, 7);
}
TANDEM_INLINE Ints4 unpack_lo64(Ints4 a, Ints4 b) {
  return __builtin_shufflevector(a, b, 0, 1, 4, 5);
}
TANDEM_INLINE Ints4 unpack_hi64(Ints4 a, Ints4 b) {
  return __builtin_shufflevector(a, b, 2, 3, 6, 7);
}
TANDEM_INLINE Ints4 held(Ints4 a) {
  return a;
}
TANDEM_INLINE Ints4 as_it_is(Ints4 a) {
  return a;
}

TANDEM_INLINE Floats4 broadcast_as(As<Floats4>, float value) {
  return Floats4{value, value, value, value};
}
TANDEM_INLINE Ints4 broadcast_as(As<Ints4>, std::int32_t value) {
  return Ints4{value, value, value, value};
}
TANDEM_INLINE Floats4 load_as(As<Floats4>, const float* from) {
  return vector_at<Floats4>(from);
}
TANDEM_INLINE Ints4 load_as(As<Ints4>, const std::uint8_t* from) {
  return vector_at<Ints4>(from);
}
/// Sixteen bytes in each sixteen bytes of the register.
TANDEM_INLINE Ints4 load_sixteen_as(As<Ints4>, const std::uint8_t* from) {
  return vector_at<Ints4>(from);
}
TANDEM_INLINE void store(float* to, Floats4 value) {
  __builtin_memcpy(to, &value, sizeof value);
}
TANDEM_INLINE void store(std::uint8_t* to, Ints4 value) {
  __builtin_memcpy(to, &value, sizeof value);
}
/// As many bytes as there are words.
TANDEM_INLINE Ints4 widen_bytes_as(As<Ints4>, const std::uint8_t* from) {
  using Bytes4 = std::uint8_t __attribute__((vector_size(4)));
  return __builtin_convertvector(vector_at<Bytes4>(from), Ints4);
}
/// 16 bytes from each of as many places as the register has 128-bit lanes.
TANDEM_INLINE Ints4 gather_as(As<Ints4>, const std::uint8_t* const* from) {
  return vector_at<Ints4>(*from);
}
TANDEM_INLINE Floats4 load_bf16_as(As<Floats4>, const std::uint16_t* from) {
  using HalfWords4 = std::uint16_t __attribute__((vector_size(8)));
  return (Floats4)(__builtin_convertvector(vector_at<HalfWords4>(from), Unsigned4) << 16);
}
TANDEM_INLINE Floats4 load_int8_as(As<Floats4>, const std::int8_t* from) {
  using Signed4 = std::int8_t __attribute__((vector_size(4)));
  return to_float(__builtin_convertvector(vector_at<Signed4>(from), Ints4));
}

}  // namespace
}  // namespace tandem::cpu
