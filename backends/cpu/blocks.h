#pragma once

// The block layouts of model-spec 4.3, one struct a type.  Every one of them is groups of kGroup = 16 or 32
// elements with
//     value = scale * (quant - kOffset) + min,   quant an unsigned byte of at most kMaxQuant.
// `unpack_quants` gives the quants of every group, to(group, sixteen[, sixteen more]).  With groups of 32,
// `unpack_scales` gives scale and, with kHasMin, min of every group to a sink, to(group, scale[, min]).
//
// Groups of 16 have whole numbers for scales and mins, and a factor for those of a block: `unpack_factors`
// gives to(scale[, min]) once, `unpack_scales` to(group, whole scale) and, with kHasMin, `unpack_mins` to(i,
// whole mins) of groups 2 i, in the low half of a word, and 2 i + 1.  `unpack_quants` takes one field of a
// block after another, so that group 2 i comes before 2 i + 1 and that before 2 i + 3;
// `unpack_quants_in_place`, of Q2_K and Q3_K, gives group after group, which takes more registers, to(group,
// sixteen, up): quants times 2^up, so that hardly any bits are moved.  Both groups of 32 columns have the
// same `up`.
//
// All take bytes and words from a source, whatever holds them: the source of dequantisation is one block,
// that of the integer kernels the same block of sixteen rows at once.  Internal linkage: kernels.cpp is
// compiled once per instruction set.

#include <cstddef>
#include <cstdint>

#include "backends/cpu/block_source.h"
#include "backends/device.h"

namespace tandem::cpu {
namespace {

struct Q4_0 {
  static constexpr device::BlockType kType = device::BlockType::q4_0;
  static constexpr int kElems = 32, kBytes = 18, kGroup = 32, kOffset = 8, kMaxQuant = 15;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 2;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    to(0, from.half(0));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(2);
    to(0, both & 15, both >> 4);
  }
};

struct Q4_1 {
  static constexpr device::BlockType kType = device::BlockType::q4_1;
  static constexpr int kElems = 32, kBytes = 20, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static constexpr int kFieldsAt = 4;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto scale_and_min = from.word(0);
    to(0, from.low_half(scale_and_min), from.low_half(scale_and_min >> 16));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(4);
    to(0, both & 15, both >> 4);
  }
};

struct Q5_0 {
  static constexpr device::BlockType kType = device::BlockType::q5_0;
  static constexpr int kElems = 32, kBytes = 22, kGroup = 32, kOffset = 16, kMaxQuant = 31;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 6;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    to(0, from.half(0));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(6);
    const auto fifth = from.word(2);
    to(0, (both & 15) | from.fifth_bits(fifth, 0), (both >> 4) | from.fifth_bits(fifth, 1));
  }
};

struct Q5_1 {
  static constexpr device::BlockType kType = device::BlockType::q5_1;
  static constexpr int kElems = 32, kBytes = 24, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static constexpr int kFieldsAt = 8;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto scale_and_min = from.word(0);
    to(0, from.low_half(scale_and_min), from.low_half(scale_and_min >> 16));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(8);
    const auto fifth = from.word(4);
    to(0, (both & 15) | from.fifth_bits(fifth, 0), (both >> 4) | from.fifth_bits(fifth, 1));
  }
};

struct Q8_0 {
  static constexpr device::BlockType kType = device::BlockType::q8_0;
  static constexpr int kElems = 32, kBytes = 34, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 2;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    to(0, from.half(0));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    to(0, from.bytes(2) ^ 128, from.bytes(18) ^ 128);
  }
};

/// The fields of Q2_K and Q3_K with two bits of each quant, from `at` of a block on, group after group:
/// to(group, field, i), bits 2 i and 2 i + 1 of whose bytes are the group's.  `load` gives the field at an
/// offset.
template <class Load, class Sink>
[[gnu::always_inline]] inline void visit_two_bit_fields(std::size_t at, const Load& load, const Sink& to) {
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const auto first = load(at + 32 * static_cast<std::size_t>(half));
    const auto second = load(at + 32 * static_cast<std::size_t>(half) + 16);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      to(8 * half + 2 * i, first, i);
      to(8 * half + 2 * i + 1, second, i);
    }
  }
}

/// Calls to(pair, first, second) with the two groups of sixteen columns of pair after pair of a block of 256:
/// sixteen(half, i, part) are those of part `part` of 32 columns, the `i`th of a half.  Fields are read anew
/// for each, as registers that hold a half's would be missing for sums; and both halves are one loop's, as a
/// compiler keeps more in memory where each has code of its own.
template <class Sixteen, class Sink>
[[gnu::always_inline]] inline void visit_pairs(const Sink& to, const Sixteen& sixteen) {
#pragma GCC unroll 1
  for (int half = 0; half < 2; ++half) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const auto first = sixteen(half, i, 0), second = sixteen(half, i, 1);
      to(4 * half + i, first, second);
    }
  }
}

struct Q2_K {
  static constexpr device::BlockType kType = device::BlockType::q2_k;
  static constexpr int kElems = 256, kBytes = 84, kGroup = 16, kOffset = 0, kMaxQuant = 3;
  static constexpr bool kHasMin = true;
  static constexpr int kFieldsAt = 0;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_factors(const Source& from, const Sink& to) {
    const auto both = from.word(80);
    to(from.low_half(both), -from.low_half(both >> 16));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto packed = from.words(0, 4);
    for (int g = 0; g < 16; ++g) to(g, (packed[g / 4] >> (8 * (g % 4))) & 15);
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_mins(const Source& from, const Sink& to) {
    const auto packed = from.words(0, 4);
    for (int i = 0; i < 8; i += 2) {
      const auto four = (packed[i / 2] >> 4) & 0x0f0f0f0f;
      to(i, from.two_bytes(four, 0));
      to(i + 1, from.two_bytes(four, 1));
    }
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 4; ++i) {  // half, which part of 32
      const int half = i / 2, part = i % 2, group = 8 * half + part;
      const auto four = from.bytes(static_cast<std::size_t>(16 + 32 * half + 16 * part));
      to(group, four & 3);
      to(group + 2, moved(four, 2) & 3);
      to(group + 4, moved(four, 4) & 3);
      to(group + 6, moved(four, 6) & 3);
    }
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants_in_place(const Source& from, const Sink& to) {
    const auto load = [&](std::size_t offset) { return held(from.bytes(offset)); };
    visit_two_bit_fields(16, load, [&](int group, const auto& four, int i) {
      to(group, four & static_cast<std::uint8_t>(3 << (2 * i)), 2 * i);
    });
  }
  /// Bytes whose two lowest bits are the quants.
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_fields_in_turn(const Source& from, const Sink& to) {
    const auto load = [&](std::size_t offset) { return from.bytes(offset); };
    visit_two_bit_fields(16, load,
                         [&](int group, const auto& four, int i) { to(group, moved(four, 2 * i)); });
  }
  /// The whole scales, four a word, with kScaleOffset added.
  static constexpr int kScaleOffset = 0;
  template <class Source>
  [[gnu::always_inline]] static auto scale_bytes(const Source& from) {
    auto bytes = from.words(0, 4);
    for (auto& word : bytes.words) word = word & 0x0f0f0f0f;
    return bytes;
  }
  /// Pair after pair of groups.
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_pairs(const Source& from, const Sink& to) {
    visit_pairs(to, [&](int half, int i, int part) {
      return moved(from.bytes_anew(static_cast<std::size_t>(16 + 32 * half + 16 * part), i == 0), 2 * i) & 3;
    });
  }
};

struct Q3_K {
  static constexpr device::BlockType kType = device::BlockType::q3_k;
  static constexpr int kElems = 256, kBytes = 110, kGroup = 16, kOffset = 4, kMaxQuant = 7;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 0;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_factors(const Source& from, const Sink& to) {
    to(from.half(108));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto words = from.words(96, 3);  // sixteen times four bits, then two
    for (int g = 0; g < 16; ++g) {
      const auto low4 = (words[g % 8 / 4] >> (8 * (g % 4) + g / 8 * 4)) & 15;
      const auto high2 = (words[2] >> (8 * (g % 4) + 2 * (g / 4))) & 3;
      to(g, (low4 | high2 << 4) - 32);
    }
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
#pragma GCC unroll 2
    for (int part = 0; part < 2;
         ++part) {  // as in Q2_K; a byte has the third bits of all columns alike mod 32
      const auto third = from.bytes(static_cast<std::size_t>(16 * part));
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const int group = 8 * half + part, bit = 4 * half;
        const auto four = from.bytes(static_cast<std::size_t>(32 + 32 * half + 16 * part));
        to(group, (four & 3) | (moved(third, bit - 2) & 4));
        to(group + 2, (moved(four, 2) & 3) | (moved(third, bit - 1) & 4));
        to(group + 4, (moved(four, 4) & 3) | (moved(third, bit) & 4));
        to(group + 6, (moved(four, 6) & 3) | (moved(third, bit + 1) & 4));
      }
    }
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants_in_place(const Source& from, const Sink& to) {
    const auto load = [&](std::size_t offset) { return held(from.bytes(offset)); };
    const auto first_thirds = load(0), second_thirds = load(16);
    visit_two_bit_fields(32, load, [&](int group, const auto& four, int i) {
      const int up = i < 3 ? 2 * i : 4;  // three bits more than 4 would leave the byte
      const auto& thirds = group % 2 == 0 ? first_thirds : second_thirds;
      const auto two_bits = moved(four, 2 * i - up) & static_cast<std::uint8_t>(3 << up);
      const int down = third_bit(group, i) - 2 - up;
      to(group, two_bits | (moved(thirds, down) & static_cast<std::uint8_t>(4 << up)), up);
    });
  }
  /// Bytes whose two lowest bits are those of the quants, and bytes whose bit `bit` is their third one.
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_fields_in_turn(const Source& from, const Sink& to) {
    const auto load = [&](std::size_t offset) { return from.bytes(offset); };
    const auto first_thirds = load(0), second_thirds = load(16);
    visit_two_bit_fields(32, load, [&](int group, const auto& four, int i) {
      to(group, moved(four, 2 * i), group % 2 == 0 ? first_thirds : second_thirds, third_bit(group, i));
    });
  }
  /// The bit of a byte that has the third ones of a group.
  static constexpr int third_bit(int group, int i) {
    return group / 8 * 4 + i;
  }
  /// The whole scales, four a word, with kScaleOffset added.
  static constexpr int kScaleOffset = 32;
  template <class Source>
  [[gnu::always_inline]] static auto scale_bytes(const Source& from) {
    const auto packed = from.words(96, 3);
    auto bytes = packed;
    for (int i = 0; i < 4; ++i) {
      const auto low4 = (packed[i % 2] >> (i / 2 * 4)) & 0x0f0f0f0f;
      bytes.words[i] = low4 | (((packed[2] >> (2 * i)) & 0x03030303) << 4);
    }
    return bytes;
  }
  /// Pair after pair of groups.
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_pairs(const Source& from, const Sink& to) {
    visit_pairs(to, [&](int half, int i, int part) {
      const auto low = from.bytes_anew(static_cast<std::size_t>(32 + 32 * half + 16 * part), i == 0);
      const bool first_time = half == 0 && i == 0;
      const auto thirds = from.bytes_anew(static_cast<std::size_t>(16 * part), first_time);
      return (moved(low, 2 * i) & 3) | (moved(moved_down(thirds, 4 * half), i - 2) & 4);
    });
  }
};

/// 6-bit scales and mins of the eight groups of Q4_K and Q5_K: the first four whole, the others in pieces.
template <class Source, class Sink>
[[gnu::always_inline]] inline void unpack_k_scales(const Source& from, const Sink& to) {
  const auto words = from.words(0, 4);
  const auto d = from.low_half(words[0]), minus_d_min = -from.low_half(words[0] >> 16);
  const auto high_scales = (words[3] & 0x0f0f0f0f) | ((words[1] >> 2) & 0x30303030);
  const auto high_mins = ((words[3] >> 4) & 0x0f0f0f0f) | ((words[2] >> 2) & 0x30303030);
  for (int g = 0; g < 4; ++g) {
    to(g, d * from.to_floats((words[1] >> (8 * g)) & 63),
       minus_d_min * from.to_floats((words[2] >> (8 * g)) & 63));
  }
  for (int g = 0; g < 4; ++g) {
    to(4 + g, d * from.to_floats((high_scales >> (8 * g)) & 63),
       minus_d_min * from.to_floats((high_mins >> (8 * g)) & 63));
  }
}

struct Q4_K {
  static constexpr device::BlockType kType = device::BlockType::q4_k;
  static constexpr int kElems = 256, kBytes = 144, kGroup = 32, kOffset = 0, kMaxQuant = 15;
  static constexpr bool kHasMin = true;
  static constexpr int kFieldsAt = 0;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    unpack_k_scales(from, to);
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    for (int i = 0; i < 4; ++i) {  // low nibbles belong to one group, high ones to the next
      const auto first = from.bytes(static_cast<std::size_t>(16 + 32 * i));
      const auto second = from.bytes(static_cast<std::size_t>(32 + 32 * i));
      to(2 * i, first & 15, second & 15);
      to(2 * i + 1, first >> 4, second >> 4);
    }
  }
};

struct Q5_K {
  static constexpr device::BlockType kType = device::BlockType::q5_k;
  static constexpr int kElems = 256, kBytes = 176, kGroup = 32, kOffset = 0, kMaxQuant = 31;
  static constexpr bool kHasMin = true;
  static constexpr int kFieldsAt = 0;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    unpack_k_scales(from, to);
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    auto first_fifths = from.bytes(16),
         second_fifths = from.bytes(32);  // lowest bits: those of the next group
    for (int i = 0; i < 4; ++i) {         // as in Q4_K
      const auto first = from.bytes(static_cast<std::size_t>(48 + 32 * i));
      const auto second = from.bytes(static_cast<std::size_t>(64 + 32 * i));
      to(2 * i, (first & 15) | (moved(first_fifths, -4) & 16),
         (second & 15) | (moved(second_fifths, -4) & 16));
      to(2 * i + 1, (moved(first, 4) & 15) | (moved(first_fifths, -3) & 16),
         (moved(second, 4) & 15) | (moved(second_fifths, -3) & 16));
      first_fifths = moved(first_fifths, 2);
      second_fifths = moved(second_fifths, 2);
    }
  }
};

struct Q6_K {
  static constexpr device::BlockType kType = device::BlockType::q6_k;
  static constexpr int kElems = 256, kBytes = 210, kGroup = 16, kOffset = 32, kMaxQuant = 63;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 0;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_factors(const Source& from, const Sink& to) {
    to(from.half(208));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto packed = from.words(192, 4);
    for (int g = 0; g < 16; ++g) to(g, from.signed_byte(packed[g / 4], g % 4));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
#pragma GCC unroll 4               // a sixth faster to read: shifts and offsets become constants
    for (int i = 0; i < 4; ++i) {  // half, which part of 32
      const int half = i / 2, part = i % 2, group = 8 * half + part;
      const auto first = held(from.bytes(static_cast<std::size_t>(64 * half + 16 * part)));
      const auto second = held(from.bytes(static_cast<std::size_t>(64 * half + 16 * part + 32)));
      const auto high = held(from.bytes(static_cast<std::size_t>(128 + 32 * half + 16 * part)));
      to(group, (first & 15) | (moved(high, -4) & 48));
      to(group + 2, (second & 15) | (moved(high, -2) & 48));
      to(group + 4, (moved(first, 4) & 15) | (high & 48));
      to(group + 6, (moved(second, 4) & 15) | (moved(high, 2) & 48));
    }
  }
  /// Pair after pair of groups.
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_pairs(const Source& from, const Sink& to) {
    visit_pairs(to, [&](int half, int i, int part) {
      const auto low = from.bytes_anew(static_cast<std::size_t>(64 * half + 32 * (i % 2) + 16 * part), i < 2);
      const auto high = from.bytes_anew(static_cast<std::size_t>(128 + 32 * half + 16 * part), i == 0);
      return (moved(low, i < 2 ? 0 : 4) & 15) | (moved(high, 2 * i - 4) & 48);
    });
  }
};

/// The sixteen levels of IQ4_NL and IQ4_XS, 128 added.
inline constexpr std::uint8_t kIq4Levels[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                                129, 141, 153, 166, 181, 197, 217, 241};

struct IQ4_NL {
  static constexpr device::BlockType kType = device::BlockType::iq4_nl;
  static constexpr int kElems = 32, kBytes = 18, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 2;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    to(0, from.half(0));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(2);
    to(0, look_up(kIq4Levels, both & 15), look_up(kIq4Levels, both >> 4));
  }
};

struct IQ4_XS {
  static constexpr device::BlockType kType = device::BlockType::iq4_xs;
  static constexpr int kElems = 256, kBytes = 136, kGroup = 32, kOffset = 128, kMaxQuant = 255;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 8;
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    const auto words = from.words(0, 2);
    const auto d = from.low_half(words[0]);
    for (int g = 0; g < 8; ++g) {
      const auto low4 = (words[1] >> (4 * g)) & 15, high2 = (words[0] >> (16 + 2 * g)) & 3;
      to(g, d * from.to_floats((low4 | high2 << 4) - 32));
    }
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    for (int g = 0; g < 8; ++g) {
      const auto both = from.bytes(static_cast<std::size_t>(8 + 16 * g));
      to(g, look_up(kIq4Levels, both & 15), look_up(kIq4Levels, both >> 4));
    }
  }
};

struct MXFP4 {
  static constexpr device::BlockType kType = device::BlockType::mxfp4;
  static constexpr int kElems = 32, kBytes = 17, kGroup = 32, kOffset = 12, kMaxQuant = 24;
  static constexpr bool kHasMin = false;
  static constexpr int kFieldsAt = 1;
  /// Twice the values of E2M1, 12 added; the doubling is taken back in the scale.
  static constexpr std::uint8_t kLevels[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_scales(const Source& from, const Sink& to) {
    // 2^(e - 128); below e = 2 that is a subnormal.  No comparison: lanes would be taken apart for it.
    const auto e = from.byte(0);
    const auto subnormal = 0 - ((e - 2) >> 31);  // all bits or none
    to(0, from.as_floats((subnormal & ((e + 1) << 21)) | (~subnormal & ((e - 1) << 23))));
  }
  template <class Source, class Sink>
  [[gnu::always_inline]] static void unpack_quants(const Source& from, const Sink& to) {
    const auto both = from.bytes(1);
    to(0, look_up(kLevels, both & 15), look_up(kLevels, both >> 4));
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
