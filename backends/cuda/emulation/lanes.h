#pragma once

// The emulation's body of intrinsics.cuh.

#include <cmath>
#include <cstdint>

#include "backends/cuda/emulation/device_code.h"

namespace tandem::cuda::emulation {

/// As a default argument: the place of the call.
constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return {file, line};
}

inline constexpr std::uint32_t kAllLanes = 0xffffffffu;

inline void sync_threads(Place place = here()) {
  block_barrier(place);
}
inline void sync_named(unsigned id, unsigned threads, Place place = here()) {
  named_barrier(id, threads, true, place);
}
inline void arrive_named(unsigned id, unsigned threads, Place place = here()) {
  named_barrier(id, threads, false, place);
}
void sync_warp(Place place = here());

inline unsigned lane_id() {
  return lane();
}

/// 32 bits of lane `from`.
std::uint32_t shuffle_bits(std::uint32_t bits, unsigned from, Place place);

template <class T>
T shuffle(T value, unsigned from, Place place = here()) {
  static_assert(sizeof(T) == sizeof(std::uint32_t));
  std::uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  bits = shuffle_bits(bits, from, place);
  __builtin_memcpy(&value, &bits, sizeof bits);
  return value;
}
template <class T>
T shuffle_xor(T value, unsigned bits, Place place = here()) {
  return shuffle(value, lane() ^ bits, place);
}

/// Sums and the maximum over all lanes, as pairs first: what shuffles give, at a fifth of the switches.
float sum_of_lanes(float value, Place place);
std::int32_t sum_of_lanes(std::int32_t value, Place place);
std::uint32_t sum_of_lanes(std::uint32_t value, Place place);
float max_of_lanes(float value, Place place);

std::uint32_t votes_of_lanes(bool vote, Place place = here());
inline bool any_lane(bool vote, Place place = here()) {
  return votes_of_lanes(vote, place) != 0;
}
inline bool all_lanes(bool vote, Place place = here()) {
  return votes_of_lanes(vote, place) == kAllLanes;
}

std::uint32_t atomic_add(std::uint32_t* to, std::uint32_t value);
float atomic_add(float* to, float value);
std::uint32_t atomic_max(std::uint32_t* to, std::uint32_t value);
std::uint32_t atomic_exchange(std::uint32_t* to, std::uint32_t value);
void fence_device();

float half_to_float(std::uint16_t bits);
float bfloat16_to_float(std::uint16_t bits);
std::uint16_t float_to_half(float value);

inline std::int32_t dot4(std::int32_t a, std::int32_t b, std::int32_t sum) {
  for (int i = 0; i < 32; i += 8) sum += static_cast<std::int8_t>(a >> i) * static_cast<std::int8_t>(b >> i);
  return sum;
}
inline std::int32_t dot4(std::uint32_t a, std::int32_t b, std::int32_t sum) {
  for (int i = 0; i < 32; i += 8) sum += static_cast<std::uint8_t>(a >> i) * static_cast<std::int8_t>(b >> i);
  return sum;
}

inline float fused_multiply_add(float a, float b, float c) {
  return std::fma(a, b, c);
}

inline std::uint32_t select_bytes(std::uint32_t low, std::uint32_t high, std::uint32_t selector) {
  const std::uint64_t bytes = static_cast<std::uint64_t>(high) << 32 | low;
  std::uint32_t selected = 0;
  for (int i = 0; i < 4; ++i) {
    const std::uint32_t from = selector >> (4 * i);
    const auto byte = static_cast<std::uint32_t>(bytes >> (8 * (from & 7)) & 255);
    const std::uint32_t sign = byte >= 128 ? 255 : 0;
    selected |= ((from & 8) != 0 ? sign : byte) << (8 * i);
  }
  return selected;
}

void cos_sin_of_turns(std::uint32_t turns, float* cos, float* sin);

enum class TileType { f16, bf16 };
void multiply_tiles(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], TileType type,
                    Place place);
void multiply_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       Place place);
void multiply_half_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b, Place place);

}  // namespace tandem::cuda::emulation
