#pragma once

// Sixteen lanes on any machine: one 512-bit register, two of 256 or four of 128 bits, by what the including
// file is compiled for.  Only kernels.cpp and its parts include this; everything has internal linkage so that
// each instruction set keeps its own copy.  Results are the same to the bit on all of them: floats are only
// added, multiplied and divided lane by lane, fused only where a product is exact, and integers are exact.
// The header of a register is the only place that knows its instructions; what kernels ask of a machine
// beside them, such as how many sums its registers hold, follows from Simd.

#if defined(TANDEM_PORTABLE_KERNELS) || !(defined(__SSE4_1__) || defined(__aarch64__))
#include "backends/cpu/simd_portable.h"
namespace tandem::cpu {
namespace {
using Simd = SimdPortable;
}
}  // namespace tandem::cpu
#elif defined(__aarch64__)
#include "backends/cpu/simd_neon.h"
namespace tandem::cpu {
namespace {
using Simd = SimdNeon;
}
}  // namespace tandem::cpu
#elif defined(__AVX512VNNI__)
#include "backends/cpu/simd_512.h"
namespace tandem::cpu {
namespace {
using Simd = Simd512;
}
}  // namespace tandem::cpu
#elif defined(__AVX2__)
#include "backends/cpu/simd_256.h"
namespace tandem::cpu {
namespace {
using Simd = Simd256;
}
}  // namespace tandem::cpu
#else
#include "backends/cpu/simd_128.h"
namespace tandem::cpu {
namespace {
using Simd = Simd128;
}
}  // namespace tandem::cpu
#endif

namespace tandem::cpu {
namespace {

/// Two vectors of half the width, used as one.  Every operation is written for registers and lifted to pairs.
template <class Half>
struct Pair {
  Half lo, hi;
};

/// Sixteen lanes of four bytes in as many registers as they take.
template <class Some, std::size_t kBytes = sizeof(Some)>
struct SixteenLanes : SixteenLanes<Pair<Some>> {};
template <class All>
struct SixteenLanes<All, 64> {
  using Type = All;
};

using Register = Simd::Ints;
using RegisterFloats = Simd::Floats;
using SixteenBytes = Simd::SixteenBytes;  ///< a register of them, also where others are larger
using F32x16 = SixteenLanes<RegisterFloats>::Type;
using I32x16 = SixteenLanes<Register>::Type;

/// Whether all sixteen lanes are one register.
inline constexpr bool kOneRegister = sizeof(Register) == sizeof(F32x16);

/// So many F32x16 are in registers, and some operands beside them.
inline constexpr std::size_t kBytesInRegisters = Simd::kRegisters * sizeof(Register);
inline constexpr std::uint32_t kSumsInRegisters = kBytesInRegisters >= 2048 ? 16 : 4;

/// Whether registers hold sums of sixteen rows of W and of several activation rows.
inline constexpr bool kHoldsSixteenRows = kBytesInRegisters >= 512;

template <class H>
TANDEM_INLINE Pair<H> add(Pair<H> a, Pair<H> b) {
  return {add(a.lo, b.lo), add(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> sub(Pair<H> a, Pair<H> b) {
  return {sub(a.lo, b.lo), sub(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> mul(Pair<H> a, Pair<H> b) {
  return {mul(a.lo, b.lo), mul(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> div(Pair<H> a, Pair<H> b) {
  return {div(a.lo, b.lo), div(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> add_exact_product(Pair<H> sum, Pair<H> a, Pair<H> b) {
  return {add_exact_product(sum.lo, a.lo, b.lo), add_exact_product(sum.hi, a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> min(Pair<H> a, Pair<H> b) {
  return {min(a.lo, b.lo), min(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> max(Pair<H> a, Pair<H> b) {
  return {max(a.lo, b.lo), max(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> abs(Pair<H> a) {
  return {abs(a.lo), abs(a.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> copy_sign(Pair<H> a, Pair<H> b) {
  return {copy_sign(a.lo, b.lo), copy_sign(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> round_nearest(Pair<H> a) {
  return {round_nearest(a.lo), round_nearest(a.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> less_select(Pair<H> a, Pair<H> b, Pair<H> yes, Pair<H> no) {
  return {less_select(a.lo, b.lo, yes.lo, no.lo), less_select(a.hi, b.hi, yes.hi, no.hi)};
}
template <class H>
TANDEM_INLINE auto to_float(Pair<H> a) {
  return Pair<decltype(to_float(a.lo))>{to_float(a.lo), to_float(a.hi)};
}
template <class H>
TANDEM_INLINE auto to_int(Pair<H> a) {
  return Pair<decltype(to_int(a.lo))>{to_int(a.lo), to_int(a.hi)};
}
template <class H>
TANDEM_INLINE auto exp2_int(Pair<H> a) {
  return Pair<decltype(exp2_int(a.lo))>{exp2_int(a.lo), exp2_int(a.hi)};
}
template <class H>
TANDEM_INLINE float reduce_add(Pair<H> a) {
  return reduce_add(add(a.lo, a.hi));
}
template <class H>
TANDEM_INLINE auto reduce_add4(Pair<H> a, Pair<H> b, Pair<H> c, Pair<H> d) {
  return reduce_add4(add(a.lo, a.hi), add(b.lo, b.hi), add(c.lo, c.hi), add(d.lo, d.hi));
}
template <class H>
TANDEM_INLINE float reduce_max(Pair<H> a) {
  return reduce_max(max(a.lo, a.hi));
}
template <class H>
TANDEM_INLINE Pair<H> dot4(Pair<H> sum, Pair<H> weights, Pair<H> x) {
  return {dot4(sum.lo, weights.lo, x.lo), dot4(sum.hi, weights.hi, x.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> multiply_bytes(Pair<H> weights, Pair<H> x) {
  return {multiply_bytes(weights.lo, x.lo), multiply_bytes(weights.hi, x.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> multiply_signed_bytes(Pair<H> weights, Pair<H> x) {
  return {multiply_signed_bytes(weights.lo, x.lo), multiply_signed_bytes(weights.hi, x.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> add_words(Pair<H> a, Pair<H> b) {
  return {add_words(a.lo, b.lo), add_words(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> as_it_is(Pair<H> a) {
  return {as_it_is(a.lo), as_it_is(a.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> dot2(Pair<H> a, Pair<H> b) {
  return {dot2(a.lo, b.lo), dot2(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> dot2(Pair<H> sum, Pair<H> a, Pair<H> b) {
  return {dot2(sum.lo, a.lo, b.lo), dot2(sum.hi, a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> low_twice(Pair<H> a) {
  return {low_twice(a.lo), low_twice(a.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> unpack_lo32(Pair<H> a, Pair<H> b) {
  return {unpack_lo32(a.lo, b.lo), unpack_lo32(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> unpack_hi32(Pair<H> a, Pair<H> b) {
  return {unpack_hi32(a.lo, b.lo), unpack_hi32(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> unpack_lo64(Pair<H> a, Pair<H> b) {
  return {unpack_lo64(a.lo, b.lo), unpack_lo64(a.hi, b.hi)};
}
template <class H>
TANDEM_INLINE Pair<H> unpack_hi64(Pair<H> a, Pair<H> b) {
  return {unpack_hi64(a.lo, b.lo), unpack_hi64(a.hi, b.hi)};
}

template <class H>
TANDEM_INLINE void store(float* to, Pair<H> value) {
  store(to, value.lo);
  store(to + sizeof(H) / sizeof(float), value.hi);
}
template <class H>
TANDEM_INLINE void store(std::uint8_t* to, Pair<H> value) {
  store(to, value.lo);
  store(to + sizeof(H), value.hi);
}
template <class H>
TANDEM_INLINE void store_low_bytes(std::int8_t* to, Pair<H> value) {
  store_low_bytes(to, value.lo);
  store_low_bytes(to + sizeof(H) / 4, value.hi);
}
template <class H>
TANDEM_INLINE void store_half(std::uint16_t* to, Pair<H> value) {
  store_half(to, value.lo);
  store_half(to + sizeof(H) / sizeof(float), value.hi);
}
template <class H, class T>
TANDEM_INLINE Pair<H> broadcast_as(As<Pair<H>>, T value) {
  const H half = broadcast_as(As<H>{}, value);
  return {half, half};
}
template <class H, class T>
TANDEM_INLINE Pair<H> load_as(As<Pair<H>>, const T* from) {
  return {load_as(As<H>{}, from), load_as(As<H>{}, from + sizeof(H) / sizeof(T))};
}
template <class H>
TANDEM_INLINE Pair<H> gather_as(As<Pair<H>>, const std::uint8_t* const* from) {
  // NOLINTNEXTLINE(bugprone-sizeof-expression): a number of pointers
  return {gather_as(As<H>{}, from), gather_as(As<H>{}, from + sizeof(H) / 16)};
}
template <class H>
TANDEM_INLINE Pair<H> load_half_as(As<Pair<H>>, const std::uint16_t* from) {
  return {load_half_as(As<H>{}, from), load_half_as(As<H>{}, from + sizeof(H) / sizeof(float))};
}
template <class H>
TANDEM_INLINE Pair<H> load_bf16_as(As<Pair<H>>, const std::uint16_t* from) {
  return {load_bf16_as(As<H>{}, from), load_bf16_as(As<H>{}, from + sizeof(H) / sizeof(float))};
}
template <class H>
TANDEM_INLINE Pair<H> load_int8_as(As<Pair<H>>, const std::int8_t* from) {
  return {load_int8_as(As<H>{}, from), load_int8_as(As<H>{}, from + sizeof(H) / sizeof(float))};
}

TANDEM_INLINE F32x16 broadcast(float value) {
  return broadcast_as(As<F32x16>{}, value);
}
TANDEM_INLINE I32x16 broadcast(std::int32_t value) {
  return broadcast_as(As<I32x16>{}, value);
}
TANDEM_INLINE F32x16 load(const float* from) {
  return load_as(As<F32x16>{}, from);
}
TANDEM_INLINE I32x16 load(const std::uint8_t* from) {
  return load_as(As<I32x16>{}, from);
}
TANDEM_INLINE F32x16 load_half(const std::uint16_t* from) {
  return load_half_as(As<F32x16>{}, from);
}
TANDEM_INLINE F32x16 load_bf16(const std::uint16_t* from) {
  return load_bf16_as(As<F32x16>{}, from);
}
TANDEM_INLINE F32x16 load_int8(const std::int8_t* from) {
  return load_int8_as(As<F32x16>{}, from);
}

}  // namespace
}  // namespace tandem::cpu
