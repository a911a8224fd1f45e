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

inline std::uint32_t u32_at(const std::uint8_t* bytes) {
  std::uint32_t value;
  __builtin_memcpy(&value, bytes, sizeof value);
  return value;
}

/// Low nibbles of 16 bytes, then the high ones.
inline void split_nibbles(const std::uint8_t* packed, std::uint8_t* quants) {
  for (int j = 0; j < 16; ++j) quants[j] = packed[j] & 15;
  for (int j = 0; j < 16; ++j) quants[j + 16] = packed[j] >> 4;
}

/// The fifth bit of 32 quants, bit j of `high` for quant j.
inline void add_fifth_bits(std::uint32_t high, std::uint8_t* quants) {
  for (int j = 0; j < 32; ++j) quants[j] |= static_cast<std::uint8_t>(((high >> j) & 1u) << 4);
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
    add_fifth_bits(u32_at(block + 2), to.quants);
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
    add_fifth_bits(u32_at(block + 4), to.quants);
  }
};

struct Q8_0 {
  static constexpr device::BlockType kType = device::BlockType::q8_0;
  static constexpr int kElems = 32, kBytes = 34, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static void unpack(const std::uint8_t* block, Unpacked to) {
    *to.scale = half_at(block);
    for (int j = 0; j < 32; ++j) to.quants[j] = block[2 + j] ^ 0x80;
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
    for (int e = 0; e < 256; ++e) {
      const int half = e / 128, shift = e % 128 / 32 * 2, l = e % 32;
      to.quants[e] = (packed[32 * half + l] >> shift) & 3;
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
    for (int e = 0; e < 256; ++e) {
      const int half = e / 128, c = e % 128 / 32, l = e % 32;
      const int low = (packed[32 * half + l] >> (2 * c)) & 3;
      to.quants[e] = static_cast<std::uint8_t>(low | ((high[l] >> (4 * half + c)) & 1) << 2);
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
    for (int quarter = 0; quarter < 4; ++quarter) {
      std::uint8_t* quants = to.quants + std::ptrdiff_t{64} * quarter;
      for (int j = 0; j < 32; ++j) quants[j] = packed[32 * quarter + j] & 15;
      for (int j = 0; j < 32; ++j) quants[j + 32] = packed[32 * quarter + j] >> 4;
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
    for (int g = 0; g < 8; ++g) {
      for (int j = 0; j < 32; ++j) {
        const int low = (packed[32 * (g / 2) + j] >> (4 * (g % 2))) & 15;
        to.quants[32 * g + j] = static_cast<std::uint8_t>(low | ((high[j] >> g) & 1) << 4);
      }
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
    for (int half = 0; half < 2; ++half) {
      const std::uint8_t* low = block + std::ptrdiff_t{64} * half;
      const std::uint8_t* high = block + 128 + std::ptrdiff_t{32} * half;
      std::uint8_t* quants = to.quants + std::ptrdiff_t{128} * half;
      for (int c = 0; c < 4; ++c) {
        for (int l = 0; l < 32; ++l) {
          const int low4 = (low[32 * (c & 1) + l] >> (c < 2 ? 0 : 4)) & 15;
          quants[32 * c + l] = static_cast<std::uint8_t>(low4 | ((high[l] >> (2 * c)) & 3) << 4);
        }
      }
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
    for (int j = 0; j < 16; ++j) to.quants[j] = kIq4Levels[block[2 + j] & 15];
    for (int j = 0; j < 16; ++j) to.quants[j + 16] = kIq4Levels[block[2 + j] >> 4];
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
      for (std::size_t j = 0; j < 16; ++j) {
        to.quants[32 * g + j] = kIq4Levels[packed[16 * g + j] & 15];
        to.quants[32 * g + j + 16] = kIq4Levels[packed[16 * g + j] >> 4];
      }
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
    for (int j = 0; j < 16; ++j) to.quants[j] = kLevels[block[1 + j] & 15];
    for (int j = 0; j < 16; ++j) to.quants[j + 16] = kLevels[block[1 + j] >> 4];
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
