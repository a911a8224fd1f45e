#pragma once

// What kernels ask of the hardware beyond plain C++: every function here has two bodies, one in PTX for nvcc
// and one for the emulation.  A warp is 32 lanes; warp functions are called by all of them.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if !defined(__CUDACC__)
#include "backends/cuda/emulation/lanes.h"
#endif

namespace tandem::cuda {

constexpr unsigned kWarp = 32;

/// Sixteen bytes, moved by one instruction from and to addresses that are multiples of 16.
struct alignas(16) Bits128 {
  std::uint32_t x, y, z, w;
};

/// An fp16 or bf16 number by its bits; arithmetic is done in fp32.
struct Half {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

/// A number by its bits.
__host__ __device__ __forceinline__ float bits_to_float(std::uint32_t bits) {
  float number;
  memcpy(&number, &bits, sizeof number);
  return number;
}

#if defined(__CUDACC__)

/// The block's dynamic shared memory; arrays follow each other in it as the kernel decides.
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(128) unsigned char tandem_shared_memory[];
  return reinterpret_cast<T*>(tandem_shared_memory);
}

/// A variable that a block's threads share: one for each type, or number where there are several of a type.
/// It holds nothing at first.
template <class T, int kNumber = 0>
__device__ __forceinline__ T& block_variable() {
  __shared__ T variable;
  return variable;
}

/// All threads of the block meet; what they wrote before is visible after.
__device__ __forceinline__ void sync_threads() {
  __syncthreads();
}

/// `threads` threads of the block (whole warps) meet at barrier `id`, 1 to 15; the second form does not wait.
__device__ __forceinline__ void sync_named(unsigned id, unsigned threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void arrive_named(unsigned id, unsigned threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/// The lanes of the warp meet; what they wrote before is visible after.
__device__ __forceinline__ void sync_warp() {
  __syncwarp();
}

__device__ __forceinline__ unsigned lane_id() {
  unsigned lane;
  asm("mov.u32 %0, %%laneid;" : "=r"(lane));
  return lane;
}

/// `value` of lane `from`, or of the lane whose number differs in the bits of `bits`.
template <class T>
__device__ __forceinline__ T shuffle(T value, unsigned from) {
  return __shfl_sync(0xffffffffu, value, static_cast<int>(from));
}
template <class T>
__device__ __forceinline__ T shuffle_xor(T value, unsigned bits) {
  return __shfl_xor_sync(0xffffffffu, value, static_cast<int>(bits));
}

/// Sum and maximum over the warp, for every lane the same: pairs first, so the order is fixed.
template <class T>
__device__ __forceinline__ T warp_sum(T value) {
  for (unsigned bits = 1; bits < kWarp; bits *= 2) value += shuffle_xor(value, bits);
  return value;
}
__device__ __forceinline__ float warp_max(float value) {
  for (unsigned bits = 1; bits < kWarp; bits *= 2) value = fmaxf(value, shuffle_xor(value, bits));
  return value;
}

/// One bit a lane.
__device__ __forceinline__ std::uint32_t votes_of_lanes(bool vote) {
  return __ballot_sync(0xffffffffu, vote);
}
__device__ __forceinline__ bool any_lane(bool vote) {
  return __any_sync(0xffffffffu, vote) != 0;
}
__device__ __forceinline__ bool all_lanes(bool vote) {
  return __all_sync(0xffffffffu, vote) != 0;
}

/// Atomic for all threads of the device; return the value before.
__device__ __forceinline__ std::uint32_t atomic_add(std::uint32_t* to, std::uint32_t value) {
  return atomicAdd(to, value);
}
__device__ __forceinline__ float atomic_add(float* to, float value) {
  return atomicAdd(to, value);
}
__device__ __forceinline__ std::uint32_t atomic_max(std::uint32_t* to, std::uint32_t value) {
  return atomicMax(to, value);
}
__device__ __forceinline__ std::uint32_t atomic_exchange(std::uint32_t* to, std::uint32_t value) {
  return atomicExch(to, value);
}

/// What this thread wrote before is visible to the device before what it writes after.
__device__ __forceinline__ void fence_device() {
  __threadfence();
}

/// Sixteen bytes that nobody writes while the kernel runs; the second form is for data read once.
__device__ __forceinline__ Bits128 load16(const void* from) {
  Bits128 bits;
  asm("ld.global.nc.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
      : "l"(from));
  return bits;
}
__device__ __forceinline__ Bits128 load16_once(const void* from) {
  Bits128 bits;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(bits.x), "=r"(bits.y), "=r"(bits.z), "=r"(bits.w)
      : "l"(from));
  return bits;
}

/// A pointer to device memory that was read from shared memory, not null: without this the compiler takes it
/// for one to any kind of memory.
template <class T>
__device__ __forceinline__ const T* on_device(const T* pointer) {
  __builtin_assume(__isGlobal(pointer));
  return pointer;
}

__device__ __forceinline__ float to_float(Half half) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(half.bits));
  return value;
}
__device__ __forceinline__ float to_float(BFloat16 number) {
  return __uint_as_float(static_cast<std::uint32_t>(number.bits) << 16);
}

/// To nearest, ties to even; beyond the largest finite half the largest finite half.
__device__ __forceinline__ Half to_half(float value) {
  if (fabsf(value) > 65504.0f) value = copysignf(65504.0f, value);
  Half half;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(half.bits) : "f"(value));
  return half;
}

/// sum + the four products of bytes: signed times signed, unsigned times signed.
__device__ __forceinline__ std::int32_t dot4(std::int32_t a, std::int32_t b, std::int32_t sum) {
  asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}
__device__ __forceinline__ std::int32_t dot4(std::uint32_t a, std::int32_t b, std::int32_t sum) {
  asm("dp4a.u32.s32 %0, %1, %2, %0;" : "+r"(sum) : "r"(a), "r"(b));
  return sum;
}

/// a * b + c, rounded once.
__device__ __forceinline__ float fused_multiply_add(float a, float b, float c) {
  return __fmaf_rn(a, b, c);
}

/// Byte i of the result is byte (selector >> 4i) & 7 of high:low, or its sign in every bit where bit 3 of
/// that part of the selector is set (PTX ISA, prmt).
__device__ __forceinline__ std::uint32_t select_bytes(std::uint32_t low, std::uint32_t high,
                                                      std::uint32_t selector) {
  return __byte_perm(low, high, selector);
}

/// cos and sin of an angle in turns, a fraction in units of 2^-32.
__device__ __forceinline__ void cos_sin_of_turns(std::uint32_t turns, float* cos, float* sin) {
  sincospif(static_cast<float>(static_cast<std::int32_t>(turns)) * 0x1p-31f, sin, cos);
}

// Tile products are volatile: all lanes have to execute the same one (PTX ISA, mma: .aligned), so the
// compiler must not move it to where its result is used, which may be under a condition.

/// d (16, 8) += a (16, 16) b (16, 8), spread over the warp as PTX says for mma.m16n8k16: lane l, g = l / 4,
/// t = l % 4.  a: pairs of columns 2t at (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8); b: pairs of rows
/// at (2t, g), (2t + 8, g); d: (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1).
__device__ __forceinline__ void multiply_tiles_f16(float (&d)[4], const std::uint32_t (&a)[4],
                                                   const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void multiply_tiles_bf16(float (&d)[4], const std::uint32_t (&a)[4],
                                                    const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d (16, 8) += a (16, 32) b (32, 8) in integers, mma.m16n8k32: a: four columns 4t at (g, 4t), (g + 8, 4t),
/// (g, 4t + 16), (g + 8, 4t + 16); b: four rows at (4t, g), (4t + 16, g); d as above.
__device__ __forceinline__ void multiply_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[4],
                                                  const std::uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// The same with half the depth, mma.m16n8k16: a (16, 16): four columns 4t at (g, 4t), (g + 8, 4t); b (16,
/// 8): four rows at (4t, g).
__device__ __forceinline__ void multiply_half_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[2],
                                                       std::uint32_t b) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b));
}

#else

using emulation::all_lanes;
using emulation::any_lane;
using emulation::arrive_named;
using emulation::atomic_add;
using emulation::atomic_exchange;
using emulation::atomic_max;
using emulation::cos_sin_of_turns;
using emulation::dot4;
using emulation::fence_device;
using emulation::fused_multiply_add;
using emulation::lane_id;
using emulation::select_bytes;
using emulation::shuffle;
using emulation::shuffle_xor;
using emulation::sync_named;
using emulation::sync_threads;
using emulation::sync_warp;
using emulation::votes_of_lanes;

template <class T>
T* shared_memory() {
  return reinterpret_cast<T*>(emulation::shared_memory());
}

template <class T, int kNumber = 0>
T& block_variable() {
  static const char key = 0;
  return *reinterpret_cast<T*>(emulation::block_variable(&key, sizeof(T)));
}

template <class T>
T warp_sum(T value, emulation::Place place = emulation::here()) {
  return emulation::sum_of_lanes(value, place);
}
inline float warp_max(float value, emulation::Place place = emulation::here()) {
  return emulation::max_of_lanes(value, place);
}

inline Bits128 load16(const void* from, emulation::Place place = emulation::here()) {
  emulation::check_aligned(from, sizeof(Bits128), place);
  return *static_cast<const Bits128*>(from);
}
inline Bits128 load16_once(const void* from, emulation::Place place = emulation::here()) {
  return load16(from, place);
}

template <class T>
const T* on_device(const T* pointer, emulation::Place place = emulation::here()) {
  emulation::check_not_null(pointer, place);
  return pointer;
}

inline float to_float(Half half) {
  return emulation::half_to_float(half.bits);
}
inline float to_float(BFloat16 number) {
  return emulation::bfloat16_to_float(number.bits);
}
inline Half to_half(float value) {
  return {emulation::float_to_half(value)};
}

inline void multiply_tiles_f16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                               emulation::Place place = emulation::here()) {
  emulation::multiply_tiles(d, a, b, emulation::TileType::f16, place);
}
inline void multiply_tiles_bf16(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                                emulation::Place place = emulation::here()) {
  emulation::multiply_tiles(d, a, b, emulation::TileType::bf16, place);
}
inline void multiply_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                              emulation::Place place = emulation::here()) {
  emulation::multiply_tiles_s8(d, a, b, place);
}
inline void multiply_half_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b,
                                   emulation::Place place = emulation::here()) {
  emulation::multiply_half_tiles_s8(d, a, b, place);
}

#endif

}  // namespace tandem::cuda
