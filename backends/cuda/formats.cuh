#pragma once

// Unpacks 32 columns of a block for integer products: eight words of four quants each, in column order, and
// what turns their sums into values,
//     value = scale * (quant - kOffset) + min.
// Quants are unsigned unless kSigned.  kGroup 16 means that each half of the 32 columns has a scale (and min)
// of its own.  Blocks lie in planes (plane_layout.h).

#include "backends/cuda/intrinsics.cuh"

namespace tandem::cuda {

/// The planes of a matrix of `blocks` blocks.
struct Planes {
  const std::uint8_t* data;
  std::uint64_t blocks;

  /// Part of block number `block` that is `kBytes` long and comes after `kBefore` bytes of other parts.
  template <unsigned kBefore, unsigned kBytes>
  __device__ const std::uint8_t* part(std::uint64_t block) const {
    return data + kBefore * blocks + kBytes * block;
  }
};

struct GroupScales {
  float scale[2];  ///< of each half
  float min[2];
};

struct Columns32 : GroupScales {
  std::uint32_t quants[8];
};

__device__ __forceinline__ std::uint16_t load_u16(const std::uint8_t* from) {
  return *reinterpret_cast<const std::uint16_t*>(from);
}
__device__ __forceinline__ std::uint32_t load_u32(const std::uint8_t* from) {
  return *reinterpret_cast<const std::uint32_t*>(from);
}
__device__ __forceinline__ float low_half(std::uint32_t two) {
  return to_float(Half{static_cast<std::uint16_t>(two)});
}
__device__ __forceinline__ float high_half(std::uint32_t two) {
  return to_float(Half{static_cast<std::uint16_t>(two >> 16)});
}

__device__ __forceinline__ void put_words(const Bits128& bits, std::uint32_t* words) {
  words[0] = bits.x;
  words[1] = bits.y;
  words[2] = bits.z;
  words[3] = bits.w;
}

/// Sixteen bytes as four words, of which nobody else wants the sector.
__device__ __forceinline__ void load_words(const std::uint8_t* from, std::uint32_t* words) {
  put_words(load16_once(from), words);
}

/// Thirty-two bytes as eight words.  Every load takes half of each sector of 32 bytes that it touches, so the
/// second one is to find the sectors in L1.
__device__ __forceinline__ void load_8_words(const std::uint8_t* from, std::uint32_t (&words)[8]) {
  put_words(load16(from), words);
  put_words(load16(from + 16), words + 4);
}

/// Sixteen bytes of two nibbles each: low ones are columns 0 to 15, high ones 16 to 31.
__device__ __forceinline__ void load_nibbles(const std::uint8_t* from, std::uint32_t (&quants)[8]) {
  std::uint32_t words[4];
  load_words(from, words);
  for (int i = 0; i < 4; ++i) {
    quants[i] = words[i] & 0x0f0f0f0fu;
    quants[4 + i] = words[i] >> 4 & 0x0f0f0f0fu;
  }
}

/// Bits 0 to 3 of `bits` as bit 4 of four bytes.
__device__ __forceinline__ std::uint32_t spread_fifth_bits(std::uint32_t bits) {
  return ((bits & 15) * 0x00204081u & 0x01010101u) << 4;
}

__device__ __forceinline__ void one_scale(float scale, Columns32& columns) {
  columns.scale[0] = columns.scale[1] = scale;
}
__device__ __forceinline__ void one_min(float min, Columns32& columns) {
  columns.min[0] = columns.min[1] = min;
}

/// levels[index] of the four nibbles in the low half of each byte; sixteen levels of a byte in four words.
__device__ __forceinline__ std::uint32_t look_up(const std::uint32_t (&levels)[4], std::uint32_t indices) {
  const std::uint32_t selector =
      (indices & 7) | (indices >> 4 & 0x70) | (indices >> 8 & 0x700) | (indices >> 12 & 0x7000);
  const std::uint32_t low = select_bytes(levels[0], levels[1], selector);
  const std::uint32_t high = select_bytes(levels[2], levels[3], selector);
  const std::uint32_t takes_high = (indices >> 3 & 0x01010101u) * 255;
  return (low & ~takes_high) | (high & takes_high);
}

struct Q4_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 8;
  static constexpr bool kSigned = false, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    one_scale(low_half(load_u16(planes.part<16, 2>(block))), columns);
  }
};

struct Q4_1 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    const std::uint32_t scale_and_min = load_u32(planes.part<16, 4>(block));
    one_scale(low_half(scale_and_min), columns);
    one_min(high_half(scale_and_min), columns);
  }
};

struct Q5_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 16;
  static constexpr bool kSigned = false, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    const std::uint32_t fifth = load_u32(planes.part<16, 4>(block));
    for (int i = 0; i < 8; ++i) columns.quants[i] |= spread_fifth_bits(fifth >> (4 * i));
    one_scale(low_half(load_u16(planes.part<20, 2>(block))), columns);
  }
};

struct Q5_1 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    const std::uint32_t fifth = load_u32(planes.part<16, 4>(block));
    for (int i = 0; i < 8; ++i) columns.quants[i] |= spread_fifth_bits(fifth >> (4 * i));
    const std::uint32_t scale_and_min = load_u32(planes.part<20, 4>(block));
    one_scale(low_half(scale_and_min), columns);
    one_min(high_half(scale_and_min), columns);
  }
};

struct Q8_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_8_words(planes.part<0, 32>(block), columns.quants);
    one_scale(low_half(load_u16(planes.part<32, 2>(block))), columns);
  }
};

struct Q2_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    const std::uint8_t* bytes = planes.part<0, 64>(block) + 32 * (part / 4);
    load_8_words(bytes, columns.quants);
    for (std::uint32_t& four : columns.quants) four = four >> (2 * (part % 4)) & 0x03030303u;
    const std::uint8_t* scales = planes.part<64, 16>(block) + 2 * part;
    const std::uint32_t both = load_u32(planes.part<80, 4>(block));
    for (int half = 0; half < 2; ++half) {
      columns.scale[half] = low_half(both) * static_cast<float>(scales[half] & 15);
      columns.min[half] = -(high_half(both) * static_cast<float>(scales[half] >> 4));
    }
  }
};

struct Q3_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 4;
  static constexpr bool kSigned = false, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    const std::uint8_t* bytes = planes.part<0, 64>(block) + 32 * (part / 4);
    load_8_words(bytes, columns.quants);
    std::uint32_t third[8];  // the third bit of every quant of a column mod 32 is in one byte
    load_8_words(planes.part<64, 32>(block), third);
    for (int i = 0; i < 8; ++i) {
      columns.quants[i] =
          (columns.quants[i] >> (2 * (part % 4)) & 0x03030303u) | (third[i] >> part & 0x01010101u) << 2;
    }
    const std::uint8_t* packed = planes.part<96, 12>(block);
    const float d = low_half(load_u16(planes.part<108, 2>(block)));
    for (unsigned half = 0; half < 2; ++half) {
      const unsigned g = 2 * part + half;
      const int low4 = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
      const int high2 = packed[8 + g % 4] >> (2 * (g / 4)) & 3;
      columns.scale[half] = d * static_cast<float>((low4 | high2 << 4) - 32);
    }
  }
};

/// 6-bit scale and min of group `part` of Q4_K and Q5_K: the first four whole, the others in pieces.
__device__ __forceinline__ void unpack_k_scale(const std::uint8_t* block, unsigned part, Columns32& columns) {
  const std::uint32_t both = load_u32(block);
  const std::uint8_t* packed = block + 4;
  unsigned scale = packed[part % 4] & 63;
  unsigned min = packed[4 + part % 4] & 63;
  if (part >= 4) {
    scale = (packed[4 + part] & 15) | packed[part - 4] >> 6 << 4;
    min = packed[4 + part] >> 4 | packed[part] >> 6 << 4;
  }
  one_scale(low_half(both) * static_cast<float>(scale), columns);
  one_min(-high_half(both) * static_cast<float>(min), columns);
}

/// 32 bytes of two nibbles each; low nibbles belong to an even group, high ones to the next.
__device__ __forceinline__ void load_nibbles_of_group(const std::uint8_t* bytes, unsigned part,
                                                      std::uint32_t (&quants)[8]) {
  load_8_words(bytes, quants);
  for (std::uint32_t& four : quants) four = four >> (4 * (part % 2)) & 0x0f0f0f0fu;
}

struct Q4_K {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    const std::uint8_t* bytes = planes.part<0, 144>(block);
    load_nibbles_of_group(bytes + 16 + 32 * (part / 2), part, columns.quants);
    unpack_k_scale(bytes, part, columns);
  }
};

struct Q5_K {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    const std::uint8_t* bytes = planes.part<0, 176>(block);
    load_nibbles_of_group(bytes + 48 + 32 * (part / 2), part, columns.quants);
    std::uint32_t fifth[8];  // bit `part` of a byte is the fifth bit for that group
    load_8_words(bytes + 16, fifth);
    for (int i = 0; i < 8; ++i) columns.quants[i] |= (fifth[i] >> part & 0x01010101u) << 4;
    unpack_k_scale(bytes, part, columns);
  }
};

struct Q6_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 32;
  static constexpr bool kSigned = false, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    const unsigned half = part / 4, quarter = part % 4;
    const std::uint8_t* low = planes.part<0, 128>(block) + 64 * half + 32 * (quarter % 2);
    load_8_words(low, columns.quants);
    std::uint32_t high[8];
    load_8_words(planes.part<128, 64>(block) + 32 * half, high);
    for (int i = 0; i < 8; ++i) {
      columns.quants[i] = (columns.quants[i] >> (4 * (quarter / 2)) & 0x0f0f0f0fu) |
                          (high[i] >> (2 * quarter) & 0x03030303u) << 4;
    }
    const auto* scales = reinterpret_cast<const std::int8_t*>(planes.part<192, 16>(block)) + 2 * part;
    const float d = low_half(load_u16(planes.part<208, 2>(block)));
    for (int i = 0; i < 2; ++i) columns.scale[i] = d * static_cast<float>(scales[i]);
  }
};

/// The sixteen levels of IQ4_NL and IQ4_XS, signed bytes.
__device__ __forceinline__ void look_up_iq4(std::uint32_t (&quants)[8]) {
  const std::uint32_t levels[4] = {0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u};
  for (std::uint32_t& four : quants) four = look_up(levels, four);
}

struct IQ4_NL {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    look_up_iq4(columns.quants);
    one_scale(low_half(load_u16(planes.part<16, 2>(block))), columns);
  }
};

struct IQ4_XS {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned part,
                                Columns32& columns) {
    load_nibbles(planes.part<0, 128>(block) + 16 * part, columns.quants);
    look_up_iq4(columns.quants);
    const std::uint8_t* header = planes.part<128, 8>(block);
    const unsigned scale_and_high = load_u32(header);
    const int low4 = header[4 + part / 2] >> (4 * (part % 2)) & 15;
    const int high2 = static_cast<int>(scale_and_high >> (16 + 2 * part) & 3);
    one_scale(low_half(scale_and_high) * static_cast<float>((low4 | high2 << 4) - 32), columns);
  }
};

struct MXFP4 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  __device__ static void unpack(const Planes& planes, std::uint64_t block, unsigned, Columns32& columns) {
    load_nibbles(planes.part<0, 16>(block), columns.quants);
    // Twice the values of E2M1; the doubling is taken back in the scale, 2^(e - 128).
    const std::uint32_t levels[4] = {0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu};
    for (std::uint32_t& four : columns.quants) four = look_up(levels, four);
    one_scale(ldexpf(1.0f, static_cast<int>(*planes.part<16, 1>(block)) - 128), columns);
  }
};

}  // namespace tandem::cuda
