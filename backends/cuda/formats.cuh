#pragma once

// Loads 32 columns of a block, and unpacks them for integer products: eight words of four quants each, in
// column order, and what turns their sums into values,
//     value = scale * (quant - kOffset) + min.
// Quants are unsigned unless kSigned.  kGroup 16 means that each half of the 32 columns has a scale (and min)
// of its own.  Blocks lie in planes (plane_layout.h).  Loading is apart from unpacking so that a kernel can
// have the next columns on their way while it computes with these; both are told which 32 columns of the
// block, `part`.

#include "backends/cuda/intrinsics.cuh"

namespace tandem::cuda {

/// The planes of a matrix of `blocks` blocks.
struct Planes {
  const std::uint8_t* data;
  std::uint64_t blocks;

  /// Part of block number `block` that is `kBytes` long and comes after `kBefore` bytes of other parts.
  template <unsigned kBefore, unsigned kBytes>
  __device__ const std::uint8_t* part(std::uint32_t block) const {
    return data + kBefore * blocks + std::uint64_t{kBytes} * block;
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

/// Thirty-two bytes.
struct Bits256 {
  Bits128 low, high;
};

/// Every load takes half of each sector of 32 bytes that it touches, so the second one is to find the sectors
/// in L1.
__device__ __forceinline__ Bits256 load32(const void* from) {
  const auto* bytes = static_cast<const std::uint8_t*>(from);
  return {load16(bytes), load16(bytes + 16)};
}

__device__ __forceinline__ void put_words(const Bits256& bits, std::uint32_t (&words)[8]) {
  put_words(bits.low, words);
  put_words(bits.high, words + 4);
}

/// Sixteen bytes of two nibbles each: low ones are columns 0 to 15, high ones 16 to 31.
__device__ __forceinline__ void unpack_nibbles(const Bits128& bits, std::uint32_t (&quants)[8]) {
  std::uint32_t words[4];
  put_words(bits, words);
  for (int i = 0; i < 4; ++i) {
    quants[i] = words[i] & 0x0f0f0f0fu;
    quants[4 + i] = words[i] >> 4 & 0x0f0f0f0fu;
  }
}

/// Adds bit 4 of the quants, bit i that of column i.
__device__ __forceinline__ void add_fifth_bits(std::uint32_t bits, std::uint32_t (&quants)[8]) {
  for (int i = 0; i < 8; ++i) quants[i] |= ((bits >> (4 * i) & 15) * 0x00204081u & 0x01010101u) << 4;
}

__device__ __forceinline__ void one_scale(float scale, Columns32& columns) {
  columns.scale[0] = columns.scale[1] = scale;
}
__device__ __forceinline__ void one_min(float min, Columns32& columns) {
  columns.min[0] = columns.min[1] = min;
}

/// levels[nibble] of the eight nibbles of a word: of the low ones of its bytes, and of the high ones. Sixteen
/// levels of a byte in four words.
__device__ __forceinline__ void look_up(const std::uint32_t (&levels)[4], std::uint32_t word,
                                        std::uint32_t& low, std::uint32_t& high) {
  std::uint32_t among_eight = word & 0x77777777u;
  std::uint32_t which_eight = (word >> 1 & 0x44444444u) | 0x32103210u;  // byte i of one or of the other
  std::uint32_t four[2];                                                // levels of nibbles 0 to 3, 4 to 7
  for (std::uint32_t& levels_of_four : four) {
    levels_of_four = select_bytes(select_bytes(levels[0], levels[1], among_eight),
                                  select_bytes(levels[2], levels[3], among_eight), which_eight);
    among_eight >>= 16;
    which_eight >>= 16;
  }
  low = select_bytes(four[0], four[1], 0x6420);
  high = select_bytes(four[0], four[1], 0x7531);
}

/// As `unpack_nibbles`, levels in place of nibbles.
__device__ __forceinline__ void unpack_levels(const Bits128& bits, const std::uint32_t (&levels)[4],
                                              std::uint32_t (&quants)[8]) {
  std::uint32_t words[4];
  put_words(bits, words);
  for (int i = 0; i < 4; ++i) look_up(levels, words[i], quants[i], quants[4 + i]);
}

struct Q4_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 8;
  static constexpr bool kSigned = false, kHasMin = false;
  struct Packed {
    Bits128 nibbles;
    std::uint16_t scale;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load16_once(planes.part<0, 16>(block)), load_u16(planes.part<16, 2>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    unpack_nibbles(packed.nibbles, columns.quants);
    one_scale(low_half(packed.scale), columns);
  }
};

struct Q4_1 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  struct Packed {
    Bits128 nibbles;
    std::uint32_t scale_and_min;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load16_once(planes.part<0, 16>(block)), load_u32(planes.part<16, 4>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    unpack_nibbles(packed.nibbles, columns.quants);
    one_scale(low_half(packed.scale_and_min), columns);
    one_min(high_half(packed.scale_and_min), columns);
  }
};

struct Q5_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 16;
  static constexpr bool kSigned = false, kHasMin = false;
  struct Packed {
    Bits128 nibbles;
    std::uint32_t fifth_bits;
    std::uint16_t scale;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load16_once(planes.part<0, 16>(block)), load_u32(planes.part<16, 4>(block)),
            load_u16(planes.part<20, 2>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    unpack_nibbles(packed.nibbles, columns.quants);
    add_fifth_bits(packed.fifth_bits, columns.quants);
    one_scale(low_half(packed.scale), columns);
  }
};

struct Q5_1 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  struct Packed {
    Bits128 nibbles;
    std::uint32_t fifth_bits;
    std::uint32_t scale_and_min;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load16_once(planes.part<0, 16>(block)), load_u32(planes.part<16, 4>(block)),
            load_u32(planes.part<20, 4>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    unpack_nibbles(packed.nibbles, columns.quants);
    add_fifth_bits(packed.fifth_bits, columns.quants);
    one_scale(low_half(packed.scale_and_min), columns);
    one_min(high_half(packed.scale_and_min), columns);
  }
};

struct Q8_0 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  struct Packed {
    Bits256 quants;
    std::uint16_t scale;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load32(planes.part<0, 32>(block)), load_u16(planes.part<32, 2>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    put_words(packed.quants, columns.quants);
    one_scale(low_half(packed.scale), columns);
  }
};

struct Q2_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  struct Packed {
    Bits256 quants;
    std::uint32_t scale_and_min;
    std::uint16_t scales;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    return {load32(planes.part<0, 64>(block) + 32 * (part / 4)), load_u32(planes.part<80, 4>(block)),
            load_u16(planes.part<64, 16>(block) + 2 * part)};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    put_words(packed.quants, columns.quants);
    for (std::uint32_t& four : columns.quants) four = four >> (2 * (part % 4)) & 0x03030303u;
    for (int half = 0; half < 2; ++half) {
      const unsigned both = packed.scales >> (8 * half);
      columns.scale[half] = low_half(packed.scale_and_min) * static_cast<float>(both & 15);
      columns.min[half] = -(high_half(packed.scale_and_min) * static_cast<float>(both >> 4 & 15));
    }
  }
};

struct Q3_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 4;
  static constexpr bool kSigned = false, kHasMin = false;
  struct Packed {
    Bits256 quants;
    Bits256 third_bits;         ///< of every quant of a column mod 32 in one byte
    std::uint16_t low4, high2;  ///< of the scales of two groups, among others
    std::uint16_t scale;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    const std::uint8_t* scales = planes.part<96, 12>(block);
    return {load32(planes.part<0, 64>(block) + 32 * (part / 4)), load32(planes.part<64, 32>(block)),
            load_u16(scales + 2 * (part % 4)), load_u16(scales + 8 + 2 * (part % 2)),
            load_u16(planes.part<108, 2>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    std::uint32_t third[8];
    put_words(packed.quants, columns.quants);
    put_words(packed.third_bits, third);
    for (int i = 0; i < 8; ++i) {
      columns.quants[i] =
          (columns.quants[i] >> (2 * (part % 4)) & 0x03030303u) | (third[i] >> part & 0x01010101u) << 2;
    }
    const std::uint32_t low4 = packed.low4 >> (4 * (part / 4)) & 0x0f0fu;
    const std::uint32_t scales = low4 | (packed.high2 >> (2 * (part / 2)) & 0x0303u) << 4;
    for (int half = 0; half < 2; ++half) {
      const int scale = static_cast<int>(scales >> (8 * half) & 255) - 32;
      columns.scale[half] = low_half(packed.scale) * static_cast<float>(scale);
    }
  }
};

/// 6-bit scale and min of group `part` of Q4_K and Q5_K, from the sixteen bytes that a block begins with: the
/// first four whole, the others in pieces.
__device__ __forceinline__ void unpack_k_scale(const Bits128& head, unsigned part, Columns32& columns) {
  const unsigned shift = 8 * (part % 4);
  const unsigned first = head.y >> shift, second = head.z >> shift, third = head.w >> shift;
  const bool whole = part < 4;
  const unsigned scale = whole ? first & 63 : (third & 15) | (first >> 2 & 0x30);
  const unsigned min = whole ? second & 63 : (third >> 4 & 15) | (second >> 2 & 0x30);
  one_scale(low_half(head.x) * static_cast<float>(scale), columns);
  one_min(-high_half(head.x) * static_cast<float>(min), columns);
}

/// 32 bytes of two nibbles each; low nibbles belong to an even group, high ones to the next.
__device__ __forceinline__ void unpack_nibbles_of_group(const Bits256& bits, unsigned part,
                                                        std::uint32_t (&quants)[8]) {
  put_words(bits, quants);
  for (std::uint32_t& four : quants) four = four >> (4 * (part % 2)) & 0x0f0f0f0fu;
}

struct Q4_K {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  struct Packed {
    Bits128 head;
    Bits256 nibbles;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    const std::uint8_t* bytes = planes.part<0, 144>(block);
    return {load16(bytes), load32(bytes + 16 + 32 * (part / 2))};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    unpack_nibbles_of_group(packed.nibbles, part, columns.quants);
    unpack_k_scale(packed.head, part, columns);
  }
};

struct Q5_K {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = false, kHasMin = true;
  struct Packed {
    Bits128 head;
    Bits256 fifth_bits;  ///< bit `part` of a byte is that of group `part`
    Bits256 nibbles;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    const std::uint8_t* bytes = planes.part<0, 176>(block);
    return {load16(bytes), load32(bytes + 16), load32(bytes + 48 + 32 * (part / 2))};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    std::uint32_t fifth[8];
    unpack_nibbles_of_group(packed.nibbles, part, columns.quants);
    put_words(packed.fifth_bits, fifth);
    for (int i = 0; i < 8; ++i) columns.quants[i] |= (fifth[i] >> part & 0x01010101u) << 4;
    unpack_k_scale(packed.head, part, columns);
  }
};

struct Q6_K {
  static constexpr int kElems = 256, kGroup = 16, kOffset = 32;
  static constexpr bool kSigned = false, kHasMin = false;
  struct Packed {
    Bits256 low4;
    Bits256 high2;
    std::uint16_t scales;
    std::uint16_t scale;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    const unsigned half = part / 4, quarter = part % 4;
    return {load32(planes.part<0, 128>(block) + 64 * half + 32 * (quarter % 2)),
            load32(planes.part<128, 64>(block) + 32 * half), load_u16(planes.part<192, 16>(block) + 2 * part),
            load_u16(planes.part<208, 2>(block))};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    const unsigned quarter = part % 4;
    std::uint32_t high[8];
    put_words(packed.low4, columns.quants);
    put_words(packed.high2, high);
    for (int i = 0; i < 8; ++i) {
      columns.quants[i] = (columns.quants[i] >> (4 * (quarter / 2)) & 0x0f0f0f0fu) |
                          (high[i] >> (2 * quarter) & 0x03030303u) << 4;
    }
    for (int half = 0; half < 2; ++half) {
      const auto scale = static_cast<std::int8_t>(packed.scales >> (8 * half) & 255);
      columns.scale[half] = low_half(packed.scale) * static_cast<float>(scale);
    }
  }
};

/// Of IQ4_NL and IQ4_XS, signed bytes.
__device__ __forceinline__ void unpack_iq4(const Bits128& nibbles, Columns32& columns) {
  unpack_levels(nibbles, {0xbfad9881u, 0xf6eaddcfu, 0x26190d01u, 0x71594535u}, columns.quants);
}

struct IQ4_NL {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  using Packed = Q4_0::Packed;
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    return Q4_0::load(planes, block, part);
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    unpack_iq4(packed.nibbles, columns);
    one_scale(low_half(packed.scale), columns);
  }
};

struct IQ4_XS {
  static constexpr int kElems = 256, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  struct Packed {
    Bits128 nibbles;
    std::uint32_t scale_and_high2;
    std::uint32_t low4;  ///< of all eight scales
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned part) {
    const std::uint8_t* header = planes.part<128, 8>(block);
    return {load16_once(planes.part<0, 128>(block) + 16 * part), load_u32(header), load_u32(header + 4)};
  }
  __device__ static void unpack(const Packed& packed, unsigned part, Columns32& columns) {
    unpack_iq4(packed.nibbles, columns);
    const unsigned low4 = packed.low4 >> (4 * part) & 15;
    const unsigned high2 = packed.scale_and_high2 >> (16 + 2 * part) & 3;
    const int scale = static_cast<int>(low4 | high2 << 4) - 32;
    one_scale(low_half(packed.scale_and_high2) * static_cast<float>(scale), columns);
  }
};

struct MXFP4 {
  static constexpr int kElems = 32, kGroup = 32, kOffset = 0;
  static constexpr bool kSigned = true, kHasMin = false;
  struct Packed {
    Bits128 nibbles;
    std::uint8_t exponent;
  };
  __device__ static Packed load(const Planes& planes, std::uint32_t block, unsigned) {
    return {load16_once(planes.part<0, 16>(block)), *planes.part<16, 1>(block)};
  }
  __device__ static void unpack(const Packed& packed, unsigned, Columns32& columns) {
    // Twice the values of E2M1; the doubling is taken back in the scale, 2^(e - 128).
    unpack_levels(packed.nibbles, {0x03020100u, 0x0c080604u, 0xfdfeff00u, 0xf4f8fafcu}, columns.quants);
    one_scale(ldexpf(1.0f, static_cast<int>(packed.exponent) - 128), columns);
  }
};

/// Number of groups of 32 columns in a block.
template <class Format>
constexpr unsigned kGroupsOfBlock = Format::kElems / 32;

/// Group number `number` of the matrix, row after row.
template <class Format>
__device__ __forceinline__ void unpack_group(const Planes& planes, std::uint64_t number, Columns32& columns) {
  constexpr unsigned kGroups = kGroupsOfBlock<Format>;
  const auto part = static_cast<unsigned>(number % kGroups);
  Format::unpack(Format::load(planes, static_cast<std::uint32_t>(number / kGroups), part), part, columns);
}

}  // namespace tandem::cuda
