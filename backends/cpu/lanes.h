#pragma once

// Sixteen rows of W side by side, lane = row: the form in which the integer kernels see block types.  As a
// source of blocks.h, sixteen rows give the same block of each of them at once.

#include <cstring>

#include "backends/cpu/blocks.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

/// A number of each row.
using LaneWords = std::uint32_t __attribute__((vector_size(64)));
using LaneInts = std::int32_t __attribute__((vector_size(64)));
using LaneFloats = float __attribute__((vector_size(64)));

using RegisterBytes = std::uint8_t __attribute__((vector_size(sizeof(Register))));
using RegisterWords = std::uint16_t __attribute__((vector_size(sizeof(Register))));

/// Lanes as the registers that hold them, and back.  As a whole, a compiler would copy them sixteen bytes at
/// a time, and then wait for those to meet in a register.
template <class Floats = F32x16>
TANDEM_INLINE Floats in_registers(const LaneFloats& lanes) {
  if constexpr (kOneRegister) {
    return (Floats)lanes;
  } else {
    return load(reinterpret_cast<const float*>(&lanes));
  }
}
template <class Ints = I32x16>
TANDEM_INLINE Ints in_registers(const LaneWords& lanes) {
  if constexpr (kOneRegister) {
    return (Ints)lanes;
  } else {
    return load(reinterpret_cast<const std::uint8_t*>(&lanes));
  }
}
template <class Registers>
TANDEM_INLINE LaneFloats in_lanes(Registers registers) {
  if constexpr (kOneRegister) {
    return (LaneFloats)registers;
  } else {
    LaneFloats lanes;
    store(reinterpret_cast<float*>(&lanes), registers);
    return lanes;
  }
}

/// bytes[index] within each sixteen bytes.
TANDEM_INLINE RegisterBytes shuffled(RegisterBytes bytes, RegisterBytes indices) {
  return (RegisterBytes)shuffle((Register)bytes, (Register)indices);
}

TANDEM_INLINE RegisterBytes look_up_register(const std::uint8_t (&levels)[16], RegisterBytes indices) {
  return shuffled((RegisterBytes)load_sixteen_as(As<Register>{}, levels), indices);
}

/// Byte `byte` of every word, four times.
TANDEM_INLINE RegisterBytes four_copies(RegisterBytes words, int byte) {
  using RegisterInts = std::int32_t __attribute__((vector_size(sizeof(Register))));
  RegisterInts indices;
  for (std::size_t i = 0; i < sizeof(Register) / 4; ++i) {
    indices[i] = static_cast<std::int32_t>((i % 4 * 4 + static_cast<std::size_t>(byte)) * 0x01010101);
  }
  return shuffled(words, (RegisterBytes)indices);
}

/// Sixteen columns of sixteen rows: four times (row 0: four bytes, row 1: four bytes, ...).
struct LaneBytes {
  static constexpr int kRegisters = 256 / sizeof(Register);
  static constexpr int kFours = 4;  ///< columns, four at a time
  RegisterBytes bytes[kRegisters];

  template <class Operation>
  TANDEM_INLINE static LaneBytes each(Operation operation) {
    LaneBytes result;
    for (int i = 0; i < kRegisters; ++i) result.bytes[i] = operation(i);
    return result;
  }

  /// Columns 4 * `i` to 4 * `i` + 3.
  TANDEM_INLINE I32x16 four_columns(int i) const {
    I32x16 result;
    __builtin_memcpy(&result, bytes + i * kRegisters / kFours, sizeof result);
    return result;
  }
};

TANDEM_INLINE LaneBytes held(const LaneBytes& bytes) {
  return LaneBytes::each([&](int i) { return (RegisterBytes)held((Register)bytes.bytes[i]); });
}

TANDEM_INLINE LaneBytes operator&(const LaneBytes& a, std::uint8_t mask) {
  return LaneBytes::each([&](int i) { return a.bytes[i] & mask; });
}
TANDEM_INLINE LaneBytes operator^(const LaneBytes& a, std::uint8_t mask) {
  return LaneBytes::each([&](int i) { return a.bytes[i] ^ mask; });
}
TANDEM_INLINE LaneBytes operator-(const LaneBytes& a, std::uint8_t b) {
  return LaneBytes::each([&](int i) { return a.bytes[i] - b; });
}
TANDEM_INLINE LaneBytes operator|(const LaneBytes& a, const LaneBytes& b) {
  return LaneBytes::each([&](int i) { return a.bytes[i] | b.bytes[i]; });
}
TANDEM_INLINE LaneBytes operator>>(const LaneBytes& a, int bits) {
  return LaneBytes::each([&](int i) { return a.bytes[i] >> static_cast<std::uint8_t>(bits); });
}
/// Bits of every two bytes moved down, or up where `down` is negative: those that leave a byte end in its
/// neighbour.
TANDEM_INLINE LaneBytes moved(const LaneBytes& a, int down) {
  return LaneBytes::each([&](int i) {
    const auto words = (RegisterWords)a.bytes[i];
    return (RegisterBytes)(down < 0 ? words << static_cast<std::uint16_t>(-down)
                                    : words >> static_cast<std::uint16_t>(down));
  });
}
/// The same by a number that is not known before.
TANDEM_INLINE LaneBytes moved_down(const LaneBytes& a, int by) {
  return LaneBytes::each(
      [&](int i) { return (RegisterBytes)((RegisterWords)a.bytes[i] >> static_cast<std::uint16_t>(by)); });
}
TANDEM_INLINE LaneBytes look_up(const std::uint8_t (&levels)[16], const LaneBytes& indices) {
  return LaneBytes::each([&](int i) { return look_up_register(levels, indices.bytes[i]); });
}

/// Where sixteen rows are: `stride` bytes from each to the next.
class LaneRows {
 public:
  LaneRows(const std::uint8_t* first, std::size_t stride)
      : low_(first),
        high_(first + 8 * stride),
        stride_(stride),
        stride_3_(3 * stride),
        stride_5_(5 * stride),
        stride_7_(7 * stride) {
    // Six registers reach sixteen rows; a compiler that knew how they hang together would make them sixteen
    // pointers, more than there are.
    asm("" : "+r"(high_), "+r"(stride_), "+r"(stride_3_), "+r"(stride_5_), "+r"(stride_7_));
  }

  TANDEM_INLINE const std::uint8_t* row(int r) const {
    const std::uint8_t* base = r < 8 ? low_ : high_;
    switch (r % 8) {
      case 0:
        return base;
      case 1:
        return base + stride_;
      case 2:
        return base + 2 * stride_;
      case 3:
        return base + stride_3_;
      case 4:
        return base + 4 * stride_;
      case 5:
        return base + stride_5_;
      case 6:
        return base + 2 * stride_3_;
      default:
        return base + stride_7_;
    }
  }

  /// Bytes from a row to the next.
  TANDEM_INLINE std::size_t stride() const { return stride_; }

  TANDEM_INLINE void advance(std::size_t bytes) {
    low_ += bytes;
    high_ += bytes;
  }

 private:
  const std::uint8_t* low_;   ///< row 0
  const std::uint8_t* high_;  ///< row 8
  std::size_t stride_, stride_3_, stride_5_, stride_7_;
};

/// Asks for memory a fixed distance ahead of where sixteen rows are read.
class AskAhead {
 public:
  /// The rows are about to go on by `bytes`.
  TANDEM_INLINE void advance(LaneRows rows, int bytes) {
    rows.advance(kAhead);
#pragma GCC unroll 1
    for (due_ += bytes; due_ >= kLine; due_ -= kLine) {
#pragma GCC unroll 16
      for (int r = 0; r < static_cast<int>(kTileOutputs); ++r) __builtin_prefetch(rows.row(r));
      rows.advance(kLine);
    }
  }

 private:
  static constexpr int kLine = 64, kAhead = 448;
  int due_ = 0;  ///< bytes read and not yet made up for by asking
};

/// Sixteen bytes at `offset` of every row, transposed in units of four.  Register j takes row 4L + j into its
/// 128-bit lane L; unpacking within lanes does the rest.
TANDEM_INLINE LaneBytes interleave(const LaneRows& rows, std::size_t offset) {
  constexpr int kLanes = sizeof(Register) / 16, kParts = 4 / kLanes;
  LaneBytes result;
#pragma GCC unroll 4
  for (int part = 0; part < kParts; ++part) {
    Register r[4];
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      const std::uint8_t* lanes[kLanes];
#pragma GCC unroll 4
      for (int lane = 0; lane < kLanes; ++lane) {
        lanes[lane] = rows.row(4 * (part * kLanes + lane) + j) + offset;
      }
      r[j] = gather_as(As<Register>{}, lanes);
    }
    const Register low01 = unpack_lo32(r[0], r[1]), high01 = unpack_hi32(r[0], r[1]);
    const Register low23 = unpack_lo32(r[2], r[3]), high23 = unpack_hi32(r[2], r[3]);
    result.bytes[part] = (RegisterBytes)unpack_lo64(low01, low23);
    result.bytes[kParts + part] = (RegisterBytes)unpack_hi64(low01, low23);
    result.bytes[2 * kParts + part] = (RegisterBytes)unpack_lo64(high01, high23);
    result.bytes[3 * kParts + part] = (RegisterBytes)unpack_hi64(high01, high23);
  }
  return result;
}

/// Numbers of sixteen rows, and what blocks.h does with them.
struct LaneNumbers {
  struct Words {
    LaneWords words[4];
    TANDEM_INLINE LaneWords operator[](int i) const { return words[i]; }
  };

  TANDEM_INLINE static LaneFloats to_floats(LaneWords words) {
    if constexpr (Simd::kConvertsInRegisters) return in_lanes(to_float(in_registers(words)));
    return __builtin_convertvector((LaneInts)words, LaneFloats);
  }
  TANDEM_INLINE static LaneFloats as_floats(LaneWords words) { return (LaneFloats)words; }
  TANDEM_INLINE static LaneFloats low_half(LaneWords words) {
    using LaneHalves = std::uint16_t __attribute__((vector_size(32)));
    const auto halves = __builtin_convertvector(words, LaneHalves);
    std::uint16_t in_memory[kTileOutputs];
    __builtin_memcpy(in_memory, &halves, sizeof in_memory);
    return in_lanes(load_half(in_memory));
  }
  TANDEM_INLINE static LaneWords signed_byte(LaneWords words, int byte) {
    return (LaneWords)((LaneInts)(words << (24 - 8 * byte)) >> 24);
  }

  /// Bytes 2 * `i` and 2 * `i` + 1 of each lane, sixteen bits each.
  TANDEM_INLINE static LaneWords two_bytes(LaneWords words, int i) {
    return in_two_words<Register>(words, i);
  }

  /// Bits [16 * half, 16 * half + 16) of each lane, four for each four columns, become 0 or 16.
  TANDEM_INLINE static LaneBytes fifth_bits(LaneWords bits, int half) {
    constexpr int kPerFour = LaneBytes::kRegisters / LaneBytes::kFours;
    LaneBytes result;
    for (int unit = 0; unit < LaneBytes::kFours; ++unit) {
      const int byte = 2 * half + unit / 2;  // of each lane, has the bits of this unit and of another one
      for (int i = 0; i < kPerFour; ++i) {
        RegisterBytes lanes;
        __builtin_memcpy(&lanes, reinterpret_cast<const char*>(&bits) + i * sizeof lanes, sizeof lanes);
        result.bytes[unit * kPerFour + i] = bits_of_byte(lanes, byte, unit % 2);
      }
    }
    return result;
  }

 private:
  template <class OneRegister>
  TANDEM_INLINE static LaneWords in_two_words(LaneWords words, int i) {
    if constexpr (kOneRegister) {
      constexpr std::uint32_t kZero = 0x80;  // as an index
      const auto byte = static_cast<std::uint32_t>(2 * i);
      const std::uint32_t indices = byte | kZero << 8 | (byte + 1) << 16 | kZero << 24;
      LaneWords lanes;
      for (std::size_t lane = 0; lane < kTileOutputs; ++lane) {
        lanes[lane] = indices + static_cast<std::uint32_t>(lane % 4) * 0x00040004;
      }
      return (LaneWords)shuffle((OneRegister)words, (OneRegister)lanes);
    } else {
      const LaneWords two = words >> (16 * i);
      return (two & 255) | ((two & 0xff00) << 8);
    }
  }

  /// 16 where the low or high (`upper`) four bits of byte `byte` of a word are set, one for each byte.
  TANDEM_INLINE static RegisterBytes bits_of_byte(RegisterBytes words, int byte, int upper) {
    using RegisterInts = std::int32_t __attribute__((vector_size(sizeof(Register))));
    const RegisterBytes bits = (RegisterBytes)((RegisterInts{} + 0x08040201) << (4 * upper));
    return where_set(four_copies(words, byte), bits, RegisterBytes{} + 16);
  }
};

/// The same block of sixteen rows, as they are in a file, as a source for blocks.h.
struct LaneSource : LaneNumbers {
  const LaneRows& rows;
  std::size_t block_at, block_bytes;

  TANDEM_INLINE LaneSource(const LaneRows& lane_rows, std::size_t at, std::size_t bytes)
      : rows(lane_rows), block_at(at), block_bytes(bytes) {}

  TANDEM_INLINE LaneBytes bytes(std::size_t offset) const {
    const LaneBytes all = interleave(rows, block_at + offset);
    return LaneBytes::each([&all](int i) { return all.bytes[i]; });
  }

  /// Sixteen words of four bytes.
  template <class Registers = I32x16>
  TANDEM_INLINE LaneWords word(std::size_t offset) const {
    if constexpr (kOneRegister) {
      return (LaneWords)gather_words_as(As<Registers>{}, rows.row(0) + block_at + offset, rows.stride());
    } else {
      return words(offset, 1)[0];
    }
  }
  TANDEM_INLINE LaneWords byte(std::size_t offset) const { return word(offset) & 255; }
  TANDEM_INLINE LaneFloats half(std::size_t offset) const {
    return offset + 4 <= block_bytes ? low_half(word(offset)) : low_half(word(offset - 2) >> 16);
  }

  TANDEM_INLINE Words words(std::size_t offset, std::size_t n) const {
    if (offset + 16 <= block_bytes) return words_at(offset);
    const std::size_t before = 4 - n;  // that much earlier, nothing beyond the block is read
    const Words all = words_at(offset - 4 * before);
    Words result = {};
    for (std::size_t i = 0; i < n; ++i) result.words[i] = all.words[before + i];
    return result;
  }

 private:
  TANDEM_INLINE Words words_at(std::size_t offset) const {
    const LaneBytes all = interleave(rows, block_at + offset);
    Words result;
#pragma GCC unroll 16
    for (int i = 0; i < LaneBytes::kRegisters; ++i) {
      __builtin_memcpy(reinterpret_cast<char*>(result.words) + i * sizeof(Register), &all.bytes[i],
                       sizeof(Register));
    }
    return result;
  }
};

}  // namespace
}  // namespace tandem::cpu
