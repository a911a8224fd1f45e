#pragma once

// The block layouts of model-spec 4.3, one struct a type.  Every one of them is groups of 16 or 32 elements
// with
//     value = scale * (quant - kOffset) + min,   quant an unsigned byte of at most kMaxQuant.
// `unpack_quants` takes bytes from a source and gives quants to a sink, sixteen columns at a time, whatever
// holds them: the source of dequantisation is one block, that of the integer kernels the same block of
// sixteen rows at once.  Internal linkage: kernels.cpp is compiled once per instruction set.

#include <cstddef>
#include <cstdint>

#include "backends/cpu/half.h"
#include "backends/device.h"

namespace tandem::cpu {
namespace {

/// Sixteen bytes, one instruction an operation on any CPU.
using Bytes16 = std::uint8_t __attribute__((vector_size(16)));

[[gnu::always_inline]] inline Bytes16 bytes_at(const std::uint8_t* from) {
  Bytes16 bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

/// levels[index] of sixteen indices below 16.
[[gnu::always_inline]] inline Bytes16 look_up(const std::uint8_t (&levels)[16], Bytes16 indices) {
  return __builtin_shuffle(bytes_at(levels), indices);
}

/// A single block as a source.
struct BlockSource {
  const std::uint8_t* block;

  /// The bytes [offset, offset + 16) of the block.
  Bytes16 bytes(std::size_t offset) const { return bytes_at(block + offset); }

  /// Bits [16 * half, 16 * half + 16) of the u32 at `offset`, each as 0 or 16.
  Bytes16 fifth_bits(std::size_t offset, int half) const {
    constexpr Bytes16 kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    std::uint8_t spread[16];
    __builtin_memset(spread, block[offset + 2 * static_cast<std::size_t>(half)], 8);
    __builtin_memset(spread + 8, block[offset + 2 * static_cast<std::size_t>(half) + 1], 8);
    return ((bytes_at(spread) & kBit) == kBit) & 16;
  }
};

[[gnu::always_inline]] inline float half_at(const std::uint8_t* bytes) {
  std::uint16_t half;
  __builtin_memcpy(&half, bytes, sizeof half);
  return half_to_float(half);
}

struct Q4_0 {
  static constexpr device::BlockType kType = device::BlockType::q4_0;
  static constexpr int kElems = 32, kBytes = 18, kGroup = 32, kOffset = 8, kMaxQuant = 15;
  static constexpr bool kHasMin = false;
  static constexpr std::size_t kScaleAt = 0;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(2);
    to(0, both & 15);
    to(16, both >> 4);
  }
};

struct Q4_1 {
  static constexpr device::BlockType kType = device::BlockType::q4_1;
  static constexpr int kElems = 32, kBytes = 20, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static constexpr std::size_t kScaleAt = 0, kMinAt = 2;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(4);
    to(0, both & 15);
    to(16, both >> 4);
  }
};

struct Q5_0 {
  static constexpr device::BlockType kType = device::BlockType::q5_0;
  static constexpr int kElems = 32, kBytes = 22, kGroup = 32, kOffset = 16, kMaxQuant = 31;
  static constexpr bool kHasMin = false;
  static constexpr std::size_t kScaleAt = 0;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(6);
    to(0, (both & 15) | from.fifth_bits(2, 0));
    to(16, (both >> 4) | from.fifth_bits(2, 1));
  }
};

struct Q5_1 {
  static constexpr device::BlockType kType = device::BlockType::q5_1;
  static constexpr int kElems = 32, kBytes = 24, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static constexpr std::size_t kScaleAt = 0, kMinAt = 2;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(8);
    to(0, (both & 15) | from.fifth_bits(4, 0));
    to(16, (both >> 4) | from.fifth_bits(4, 1));
  }
};

struct Q8_0 {
  static constexpr device::BlockType kType = device::BlockType::q8_0;
  static constexpr int kElems = 32, kBytes = 34, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static constexpr std::size_t kScaleAt = 0;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    to(0, from.bytes(2) ^ 128);
    to(16, from.bytes(18) ^ 128);
  }
};

struct Q2_K {
  static constexpr device::BlockType kType = device::BlockType::q2_k;
  static constexpr int kElems = 256, kBytes = 84, kGroup = 16, kOffset = 0, kMaxQuant = 3;
  static constexpr bool kHasMin = true;
  static void unpack_scales(const std::uint8_t* block, float* scales, float* mins) {
    const float d = half_at(block + 80);
    const float d_min = half_at(block + 82);
    for (int g = 0; g < 16; ++g) scales[g] = d * static_cast<float>(block[g] & 15);
    for (int g = 0; g < 16; ++g) mins[g] = -(d_min * static_cast<float>(block[g] >> 4));
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 4; ++i) {  // half, which part of 32
      const int half = i / 2, part = i % 2, at = 128 * half + 16 * part;
      const auto four = from.bytes(static_cast<std::size_t>(16 + 32 * half + 16 * part));
      to(at, four & 3);
      to(at + 32, (four >> 2) & 3);
      to(at + 64, (four >> 4) & 3);
      to(at + 96, four >> 6);
    }
  }
};

struct Q3_K {
  static constexpr device::BlockType kType = device::BlockType::q3_k;
  static constexpr int kElems = 256, kBytes = 110, kGroup = 16, kOffset = 4, kMaxQuant = 7;
  static constexpr bool kHasMin = false;
  static void unpack_scales(const std::uint8_t* block, float* scales, float*) {
    const std::uint8_t* packed = block + 96;
    const float d = half_at(block + 108);
    for (int g = 0; g < 16; ++g) {
      const int low4 = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
      const int high2 = (packed[8 + g % 4] >> (2 * (g / 4))) & 3;
      scales[g] = d * static_cast<float>((low4 | high2 << 4) - 32);
    }
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 4;
         ++i) {  // as in Q2_K; the third bit of every quant of a column mod 32 is in one byte
      const int half = i / 2, part = i % 2, at = 128 * half + 16 * part;
      const auto four = from.bytes(static_cast<std::size_t>(32 + 32 * half + 16 * part));
      const auto third = from.bytes(static_cast<std::size_t>(16 * part)) >> (4 * half);
      to(at, (four & 3) | ((third & 1) << 2));
      to(at + 32, ((four >> 2) & 3) | ((third & 2) << 1));
      to(at + 64, ((four >> 4) & 3) | (third & 4));
      to(at + 96, (four >> 6) | ((third & 8) >> 1));
    }
  }
};

/// factor * byte, for eight bytes.
inline void scale_bytes(float factor, std::uint64_t bytes, float* to) {
  using Bytes8 = std::uint8_t __attribute__((vector_size(8)));
  using Ints8 = std::int32_t __attribute__((vector_size(32)));
  using Floats8 = float __attribute__((vector_size(32)));
  const auto ints = __builtin_convertvector(__builtin_bit_cast(Bytes8, bytes), Ints8);
  const Floats8 scaled = __builtin_convertvector(ints, Floats8) * factor;
  __builtin_memcpy(to, &scaled, sizeof scaled);
}

/// 6-bit scales and mins of the eight groups of Q4_K and Q5_K: the first four whole, the others in pieces.
inline void unpack_k_scales(const std::uint8_t* block, float* scales, float* mins) {
  const std::uint8_t* packed = block + 4;
  const float d = half_at(block);
  const float d_min = half_at(block + 2);
  std::uint32_t first, second, third;
  __builtin_memcpy(&first, packed, 4);
  __builtin_memcpy(&second, packed + 4, 4);
  __builtin_memcpy(&third, packed + 8, 4);
  const std::uint64_t high_scales = (third & 0x0f0f0f0f) | ((first >> 2) & 0x30303030);
  const std::uint64_t high_mins = ((third >> 4) & 0x0f0f0f0f) | ((second >> 2) & 0x30303030);
  scale_bytes(d, (first & 0x3f3f3f3f) | high_scales << 32, scales);
  scale_bytes(-d_min, (second & 0x3f3f3f3f) | high_mins << 32, mins);
}

struct Q4_K {
  static constexpr device::BlockType kType = device::BlockType::q4_k;
  static constexpr int kElems = 256, kBytes = 144, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static void unpack_scales(const std::uint8_t* block, float* scales, float* mins) {
    unpack_k_scales(block, scales, mins);
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 8; ++i) {  // low nibbles belong to one group, high ones to the next
      const int at = 64 * (i / 2) + 16 * (i % 2);
      const auto both = from.bytes(static_cast<std::size_t>(16 + 16 * i));
      to(at, both & 15);
      to(at + 32, both >> 4);
    }
  }
};

struct Q5_K {
  static constexpr device::BlockType kType = device::BlockType::q5_k;
  static constexpr int kElems = 256, kBytes = 176, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static void unpack_scales(const std::uint8_t* block, float* scales, float* mins) {
    unpack_k_scales(block, scales, mins);
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 8; ++i) {  // as in Q4_K; bit g of a byte is the fifth bit for group g
      const int at = 64 * (i / 2) + 16 * (i % 2);
      const auto both = from.bytes(static_cast<std::size_t>(48 + 16 * i));
      const auto fifth = from.bytes(static_cast<std::size_t>(16 + 16 * (i % 2))) >> (i / 2 * 2);
      to(at, (both & 15) | ((fifth & 1) << 4));
      to(at + 32, (both >> 4) | ((fifth & 2) << 3));
    }
  }
};

struct Q6_K {
  static constexpr device::BlockType kType = device::BlockType::q6_k;
  static constexpr int kElems = 256, kBytes = 210, kGroup = 16, kOffset = 32, kMaxQuant = 63;
  static constexpr bool kHasMin = false;
  static void unpack_scales(const std::uint8_t* block, float* scales, float*) {
    const float d = half_at(block + 208);
    for (int g = 0; g < 16; ++g) scales[g] = d * static_cast<float>(static_cast<std::int8_t>(block[192 + g]));
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 4; ++i) {  // half, which part of 32
      const int half = i / 2, part = i % 2, at = 128 * half + 16 * part;
      const auto first = from.bytes(static_cast<std::size_t>(64 * half + 16 * part));
      const auto second = from.bytes(static_cast<std::size_t>(64 * half + 16 * part + 32));
      const auto high = from.bytes(static_cast<std::size_t>(128 + 32 * half + 16 * part));
      to(at, (first & 15) | ((high & 3) << 4));
      to(at + 32, (second & 15) | ((high & 12) << 2));
      to(at + 64, (first >> 4) | (high & 48));
      to(at + 96, (second >> 4) | ((high >> 2) & 48));
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
  static constexpr std::size_t kScaleAt = 0;
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(2);
    to(0, look_up(kIq4Levels, both & 15));
    to(16, look_up(kIq4Levels, both >> 4));
  }
};

struct IQ4_XS {
  static constexpr device::BlockType kType = device::BlockType::iq4_xs;
  static constexpr int kElems = 256, kBytes = 136, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static void unpack_scales(const std::uint8_t* block, float* scales, float*) {
    const float d = half_at(block);
    const int scales_high = block[2] | block[3] << 8;
    for (int g = 0; g < 8; ++g) {
      const int low4 = (block[4 + g / 2] >> (4 * (g % 2))) & 15;
      scales[g] = d * static_cast<float>((low4 | ((scales_high >> (2 * g)) & 3) << 4) - 32);
    }
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    for (int g = 0; g < 8; ++g) {
      const auto both = from.bytes(static_cast<std::size_t>(8 + 16 * g));
      to(32 * g, look_up(kIq4Levels, both & 15));
      to(32 * g + 16, look_up(kIq4Levels, both >> 4));
    }
  }
};

struct MXFP4 {
  static constexpr device::BlockType kType = device::BlockType::mxfp4;
  static constexpr int kElems = 32, kBytes = 17, kGroup = 32, kOffset = 12, kMaxQuant = 24;
  static constexpr bool kHasMin = false;
  /// Twice the values of E2M1, 12 added; the doubling is taken back in the scale.
  static constexpr std::uint8_t kLevels[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  static void unpack_scales(const std::uint8_t* block, float* scales, float*) {
    // 2^(e - 128); below e = 2 that is a subnormal.
    const std::uint32_t e = block[0];
    *scales = __builtin_bit_cast(float, e < 2 ? 0x00200000u << e : (e - 1) << 23);
  }
  template <class Source, class Sink>
  static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(1);
    to(0, look_up(kLevels, both & 15));
    to(16, look_up(kLevels, both >> 4));
  }
};

/// Scale and min of every group of a block, one after another.
template <class Format>
void unpack_scales(const std::uint8_t* block, float* scales, float* mins) {
  if constexpr (requires { Format::kScaleAt; }) {
    *scales = half_at(block + Format::kScaleAt);
    if constexpr (Format::kHasMin) *mins = half_at(block + Format::kMinAt);
  } else {
    Format::unpack_scales(block, scales, mins);
  }
}

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
