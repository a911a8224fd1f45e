#pragma once

// What blocks.h takes a single block's bytes and words with.  Internal linkage, as there.

#include <cstddef>
#include <cstdint>

#include "backends/cpu/half.h"

namespace tandem::cpu {
namespace {

/// Sixteen bytes, one instruction an operation on any CPU.
using Bytes16 = std::uint8_t __attribute__((vector_size(16)));

[[gnu::always_inline]] inline Bytes16 bytes_at(const std::uint8_t* from) {
  Bytes16 bytes;
  __builtin_memcpy(&bytes, from, sizeof bytes);
  return bytes;
}

/// Bits moved down by `down` (or up, where it is negative) in words of two bytes: what leaves a byte enters
/// the other one, so the result is masked.  One instruction, which shifting bytes is not.
[[gnu::always_inline]] inline Bytes16 moved(Bytes16 bytes, int down) {
  using Words8 = std::uint16_t __attribute__((vector_size(16)));
  const auto words = (Words8)bytes;
  return (Bytes16)(down < 0 ? words << static_cast<std::uint16_t>(-down)
                            : words >> static_cast<std::uint16_t>(down));
}

/// The bytes, which are about to be used several times (lanes.h).
[[gnu::always_inline]] inline Bytes16 held(Bytes16 bytes) {
  return bytes;
}

/// levels[index] of sixteen indices below 16.
[[gnu::always_inline]] inline Bytes16 look_up(const std::uint8_t (&levels)[16], Bytes16 indices) {
#if defined(__clang__)  // has no shuffle by indices that are known only then
  Bytes16 found{};
  for (std::size_t i = 0; i < sizeof found; ++i) found[i] = levels[indices[i]];
  return found;
#else
  return __builtin_shuffle(bytes_at(levels), indices);
#endif
}

/// A single block as a source.
struct BlockSource {
  const std::uint8_t* block;

  struct Words {
    std::uint32_t words[4];
    std::uint32_t operator[](int i) const { return words[i]; }
  };

  /// The bytes [offset, offset + 16) of the block, all within it.
  Bytes16 bytes(std::size_t offset) const { return bytes_at(block + offset); }

  /// The byte, the fp16 and the four bytes at `offset`.
  std::uint32_t byte(std::size_t offset) const { return block[offset]; }
  float half(std::size_t offset) const { return low_half(block[offset] | block[offset + 1] << 8); }
  std::uint32_t word(std::size_t offset) const {
    std::uint32_t word;
    __builtin_memcpy(&word, block + offset, sizeof word);
    return word;
  }

  /// The `n` <= 4 words at `offset`; nobody asks for the others.
  Words words(std::size_t offset, std::size_t n) const {
    Words words = {};
    __builtin_memcpy(&words, block + offset, n * sizeof words.words[0]);
    return words;
  }

  static float to_floats(std::uint32_t word) { return static_cast<float>(static_cast<std::int32_t>(word)); }
  static float as_floats(std::uint32_t word) { return __builtin_bit_cast(float, word); }
  /// The fp16 in the low half of a word.
  static float low_half(std::uint32_t word) { return half_to_float(static_cast<std::uint16_t>(word)); }
  /// Byte `byte` of a word, a signed number.
  static std::uint32_t signed_byte(std::uint32_t word, int byte) {
    return static_cast<std::uint32_t>(static_cast<std::int32_t>(word << (24 - 8 * byte)) >> 24);
  }
  /// Bytes 2 * `i` and 2 * `i` + 1 of a word, sixteen bits each.
  static std::uint32_t two_bytes(std::uint32_t word, int i) {
    return (word >> (16 * i) & 255) | (word >> (16 * i + 8) & 255) << 16;
  }

  /// Bits [16 * half, 16 * half + 16) of `bits`, each as 0 or 16.
  Bytes16 fifth_bits(std::uint32_t bits, int half) const {
    constexpr Bytes16 kBit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    std::uint8_t spread[16];
    __builtin_memset(spread, static_cast<std::uint8_t>(bits >> (16 * half)), 8);
    __builtin_memset(spread + 8, static_cast<std::uint8_t>(bits >> (16 * half + 8)), 8);
    return ((bytes_at(spread) & kBit) == kBit) & 16;
  }
};

[[gnu::always_inline]] inline float half_at(const std::uint8_t* bytes) {
  std::uint16_t half;
  __builtin_memcpy(&half, bytes, sizeof half);
  return half_to_float(half);
}

}  // namespace
}  // namespace tandem::cpu
