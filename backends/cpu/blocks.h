#pragma once

// The block layouts of model-spec 4.3, one struct a type.  Every one of them is groups of 16 or 32 elements
// with
//     value = scale * (quant - kOffset) + min,   quant an unsigned byte,
// so one `unpack` a type serves dequantisation and all integer kernels.  Internal linkage: kernels.cpp is
// compiled once per instruction set.

#include <cstddef>
#include <cstdint>

#include "backends/cpu/half.h"
#include "backends/device.h"

namespace tandem::cpu {
namespace {

/// Where `unpack` writes: quants one after another, scale and min of group g at [g * stride].
struct Unpacked {
  std::uint8_t* quants;
  float* scale;
  float* min;
  std::size_t stride;
};

inline float half_at(const std::uint8_t* bytes) {
  std::uint16_t half;
  __builtin_memcpy(&half, bytes, sizeof half);
  return half_to_float(half);
}

/// Sixteen bytes at a time, one instruction an operation on any CPU.
using Bytes16 = std::uint8_t __attribute__((vector_size(16)));

inline Bytes16 bytes_at(const std::uint8_t* from) {
  Bytes16 bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

inline void put(Bytes16 bytes, std::uint8_t* to) {
  __builtin_memcpy(to, &bytes, sizeof bytes);
}

/// Low nibbles of 16 bytes, then the high ones.
inline void split_nibbles(const std::uint8_t* packed, std::uint8_t* quants) {
  const Bytes16 both = bytes_at(packed);
  put(both & 15, quants);
  put(both >> 4, quants + 16);
}

/// The same through a table.
inline void split_nibbles(const std::uint8_t* packed, const std::uint8_t (&levels)[16],
                          std::uint8_t* quants) {
  const Bytes16 both = bytes_at(packed);
  const Bytes16 table = bytes_at(levels);
  put(__builtin_shuffle(table, both & 15), quants);
  put(__builtin_shuffle(table, both >> 4), quants + 16);
}

/// The fifth bit of 32 quants, bit j of `high` for quant j.
inline void add_fifth_bits(const std::uint8_t* high, std::uint8_t* quants) {
  constexpr Bytes16 kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  for (int half = 0; half < 2; ++half) {
    std::uint8_t spread[16];
    __builtin_memset(spread, high[2 * half], 8);
    __builtin_memset(spread + 8, high[2 * half + 1], 8);
    const Bytes16 set = (bytes_at(spread) & kBit) == kBit;
    put(bytes_at(quants + std::ptrdiff_t{16} * half) | (set & 16), quants + std::ptrdiff_t{16} * half);
  }
}

struct Q4_0 {
  static constexpr device::BlockType kType = device::BlockType::q4_0;
  static constexpr int kElems = 32, kBytes = 18, kGroup = 32, kOffset = 8, kMaxQuant = 15;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    split_nibbles(block + 2, to.quants);
  }
};

struct Q4_1 {
  static constexpr device::BlockType kType = device::BlockType::q4_1;
  static constexpr int kElems = 32, kBytes = 20, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    *to.min = half_at(block + 2);
    split_nibbles(block + 4, to.quants);
  }
};

struct Q5_0 {
  static constexpr device::BlockType kType = device::BlockType::q5_0;
  static constexpr int kElems = 32, kBytes = 22, kGroup = 32, kOffset = 16, kMaxQuant = 31;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    split_nibbles(block + 6, to.quants);
    add_fifth_bits(block + 2, to.quants);
  }
};

struct Q5_1 {
  static constexpr device::BlockType kType = device::BlockType::q5_1;
  static constexpr int kElems = 32, kBytes = 24, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    *to.min = half_at(block + 2);
    split_nibbles(block + 8, to.quants);
    add_fifth_bits(block + 4, to.quants);
  }
};

struct Q8_0 {
  static constexpr device::BlockType kType = device::BlockType::q8_0;
  static constexpr int kElems = 32, kBytes = 34, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    put(bytes_at(block + 2) ^ 0x80, to.quants);
    put(bytes_at(block + 18) ^ 0x80, to.quants + 16);
  }
};

struct Q2_K {
  static constexpr device::BlockType kType = device::BlockType::q2_k;
  static constexpr int kElems = 256, kBytes = 84, kGroup = 16, kOffset = 0, kMaxQuant = 3;
  static constexpr bool kHasMin = true;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    const std::uint8_t* scales = block;
    const std::uint8_t* packed = block + 16;
    const float d = half_at(block + 80);
    const float d_min = half_at(block + 82);
    for (std::size_t g = 0; g < 16; ++g) {
      to.scale[g * to.stride] = d * static_cast<float>(scales[g] & 15);
      to.min[g * to.stride] = -(d_min * static_cast<float>(scales[g] >> 4));
    }
    for (int i = 0; i < 16; ++i) {  // sixteen quants each: half, two bits, which part of 32
      const int half = i / 8, c = i % 8 / 2, part = i % 2;
      const Bytes16 four = bytes_at(packed + std::ptrdiff_t{32} * half + std::ptrdiff_t{16} * part);
      put((four >> static_cast<std::uint8_t>(2 * c)) & 3, to.quants + std::ptrdiff_t{16} * i);
    }
  }
};

struct Q3_K {
  static constexpr device::BlockType kType = device::BlockType::q3_k;
  static constexpr int kElems = 256, kBytes = 110, kGroup = 16, kOffset = 4, kMaxQuant = 7;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    const std::uint8_t* high = block;
    const std::uint8_t* packed = block + 32;
    const std::uint8_t* scales = block + 96;
    const float d = half_at(block + 108);
    for (std::size_t g = 0; g < 16; ++g) {
      const int low4 = g < 8 ? scales[g] & 15 : scales[g - 8] >> 4;
      const int high2 = (scales[8 + g % 4] >> (2 * (g / 4))) & 3;
      to.scale[g * to.stride] = d * static_cast<float>((low4 | high2 << 4) - 32);
    }
    for (int i = 0; i < 16; ++i) {  // as in Q2_K
      const int half = i / 8, c = i % 8 / 2, part = i % 2;
      const Bytes16 four = bytes_at(packed + std::ptrdiff_t{32} * half + std::ptrdiff_t{16} * part);
      const Bytes16 third =
          bytes_at(high + std::ptrdiff_t{16} * part) >> static_cast<std::uint8_t>(4 * half + c);
      const Bytes16 low = (four >> static_cast<std::uint8_t>(2 * c)) & 3;
      put(low | ((third & 1) << 2), to.quants + std::ptrdiff_t{16} * i);
    }
  }
};

/// 6-bit scale and min of the eight groups of Q4_K and Q5_K.
inline void unpack_k_scales(const std::uint8_t* block, Unpacked to) {
  const std::uint8_t* packed = block + 4;
  const float d = half_at(block);
  const float d_min = half_at(block + 2);
  for (std::size_t g = 0; g < 8; ++g) {
    const int scale = g < 4 ? packed[g] & 63 : (packed[g + 4] & 15) | (packed[g - 4] >> 6) << 4;
    const int min = g < 4 ? packed[g + 4] & 63 : (packed[g + 4] >> 4) | (packed[g] >> 6) << 4;
    to.scale[g * to.stride] = d * static_cast<float>(scale);
    to.min[g * to.stride] = -(d_min * static_cast<float>(min));
  }
}

struct Q4_K {
  static constexpr device::BlockType kType = device::BlockType::q4_k;
  static constexpr int kElems = 256, kBytes = 144, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    unpack_k_scales(block, to);
    const std::uint8_t* packed = block + 16;
    for (int i = 0; i < 8; ++i) {  // sixteen bytes each: low nibbles go to one group, high ones to the next
      const Bytes16 both = bytes_at(packed + std::ptrdiff_t{16} * i);
      std::uint8_t* quants = to.quants + std::ptrdiff_t{64} * (i / 2) + std::ptrdiff_t{16} * (i % 2);
      put(both & 15, quants);
      put(both >> 4, quants + 32);
    }
  }
};

struct Q5_K {
  static constexpr device::BlockType kType = device::BlockType::q5_k;
  static constexpr int kElems = 256, kBytes = 176, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    unpack_k_scales(block, to);
    const std::uint8_t* high = block + 16;
    const std::uint8_t* packed = block + 48;
    for (int i = 0; i < 8; ++i) {  // as in Q4_K
      const Bytes16 both = bytes_at(packed + std::ptrdiff_t{16} * i);
      const Bytes16 fifth =
          bytes_at(high + std::ptrdiff_t{16} * (i % 2)) >> static_cast<std::uint8_t>(i / 2 * 2);
      std::uint8_t* quants = to.quants + std::ptrdiff_t{64} * (i / 2) + std::ptrdiff_t{16} * (i % 2);
      put((both & 15) | ((fifth & 1) << 4), quants);
      put((both >> 4) | ((fifth & 2) << 3), quants + 32);
    }
  }
};

struct Q6_K {
  static constexpr device::BlockType kType = device::BlockType::q6_k;
  static constexpr int kElems = 256, kBytes = 210, kGroup = 16, kOffset = 32, kMaxQuant = 63;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    const std::uint8_t* scales = block + 192;
    const float d = half_at(block + 208);
    for (std::size_t g = 0; g < 16; ++g) {
      to.scale[g * to.stride] = d * static_cast<float>(static_cast<std::int8_t>(scales[g]));
    }
    for (int i = 0; i < 4; ++i) {  // half, which part of 32: four runs of sixteen quants each
      const int half = i / 2, part = i % 2;
      const std::uint8_t* low = block + std::ptrdiff_t{64} * half + std::ptrdiff_t{16} * part;
      const Bytes16 first = bytes_at(low), second = bytes_at(low + 32);
      const Bytes16 high = bytes_at(block + 128 + std::ptrdiff_t{32} * half + std::ptrdiff_t{16} * part);
      std::uint8_t* quants = to.quants + std::ptrdiff_t{128} * half + std::ptrdiff_t{16} * part;
      put((first & 15) | ((high & 3) << 4), quants);
      put((second & 15) | ((high & 12) << 2), quants + 32);
      put((first >> 4) | (high & 48), quants + 64);
      put((second >> 4) | ((high & 192) >> 2), quants + 96);
    }
  }
};

/// The sixteen levels of IQ4_NL and IQ4_XS, 128 added.
inline constexpr std::uint8_t kIq4Levels[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                129, 141, 153, 166, 181, 197, 217, 241};

struct IQ4_NL {
  static constexpr device::BlockType kType = device::BlockType::iq4_nl;
  static constexpr int kElems = 32, kBytes = 18, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    split_nibbles(block + 2, kIq4Levels, to.quants);
  }
};

struct IQ4_XS {
  static constexpr device::BlockType kType = device::BlockType::iq4_xs;
  static constexpr int kElems = 256, kBytes = 136, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    const float d = half_at(block);
    const unsigned scales_high = block[2] | block[3] << 8;
    const std::uint8_t* scales_low = block + 4;
    const std::uint8_t* packed = block + 8;
    for (std::size_t g = 0; g < 8; ++g) {
      const int low4 = (scales_low[g / 2] >> (4 * (g % 2))) & 15;
      const int high2 = static_cast<int>((scales_high >> (2 * g)) & 3);
      to.scale[g * to.stride] = d * static_cast<float>((low4 | high2 << 4) - 32);
      split_nibbles(packed + 16 * g, kIq4Levels, to.quants + 32 * g);
    }
  }
};

struct MXFP4 {
  static constexpr device::BlockType kType = device::BlockType::mxfp4;
  static constexpr int kElems = 32, kBytes = 17, kGroup = 32, kOffset = 12, kMaxQuant = 24;
  static constexpr bool kHasMin = false;
  /// Twice the values of E2M1, 12 added; the doubling is taken back in the scale.
  static constexpr std::uint8_t kLevels[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  static void unpack(const std::uint8_t* block, Unpacked to) {
    // 2^(e - 128); below e = 2 that is a subnormal.
    const std::uint32_t e = block[0];
    *to.scale = __builtin_bit_cast(float, e < 2 ? 0x00200000u << e : (e - 1) << 23);
    split_nibbles(block + 1, kLevels, to.quants);
  }
};

/// Calls `visit` with a value of each block struct.
template <class Visitor>
constexpr void for_each_block_format(Visitor visit) {
  visit(Q4_0{});
  visit(Q4_1{});
  visit(Q5_0{});
  visit(Q5_1{});
  visit(Q8_0{});
  visit(Q2_K{});
  visit(Q3_K{});
  visit(Q4_K{});
  visit(Q5_K{});
  visit(Q6_K{});
  visit(IQ4_NL{});
  visit(IQ4_XS{});
  visit(MXFP4{});
}

}  // namespace
}  // namespace tandem::cpu
