#pragma once

// Q2_K and Q3_K as bytes that are quants times their scales already: 32 columns are one integer sum then,
// the same number as that of the scaled sums of both halves.  Of Q3_K, (4 - quant) * scale lies in
// [-128, 124] and 128 is added; the block's factor takes the sign back.  More work for each weight, less for
// each product: for many activation rows.  Tried and lost: four rows, 4 to 5 % slower.

#include "backends/cpu/lanes.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// What is added to signed products.
inline constexpr int kScaledOffset = 128;

/// Registers of four columns.
inline constexpr int kFourRegisters = LaneBytes::kRegisters / LaneBytes::kFours;

/// A byte of each row, four times.
struct RowBytes {
  RegisterBytes bytes[kFourRegisters];

  template <class Operation>
  TANDEM_INLINE static RowBytes each(Operation operation) {
    RowBytes result;
    for (int i = 0; i < kFourRegisters; ++i) result.bytes[i] = operation(i);
    return result;
  }

  /// Byte `byte` of each row's word.
  TANDEM_INLINE static RowBytes of(const LaneWords& words, int byte) {
    return each([&](int i) {
      RegisterBytes some;
      __builtin_memcpy(&some, reinterpret_cast<const char*>(&words) + i * sizeof some, sizeof some);
      return four_copies(some, byte);
    });
  }
};

/// Every word of a register.
TANDEM_INLINE RegisterBytes every_word(std::uint32_t word) {
  using RegisterInts = std::uint32_t __attribute__((vector_size(sizeof(Register))));
  return (RegisterBytes)(RegisterInts{} + word);
}

/// 0, 1, 2 and 3 times the scale of each row, one after another.
TANDEM_INLINE RowBytes multiples(const RowBytes& scale) {
  return RowBytes::each([&](int i) {
    const RegisterBytes s = scale.bytes[i];
    return (s & every_word(0xff00ff00)) + ((s + s) & every_word(0xffff0000));
  });
}

/// Of each row's four levels those that the two lowest bits of `indices` name.
TANDEM_INLINE LaneBytes look_up_levels(const RowBytes& levels, const LaneBytes& indices) {
  RegisterBytes row;  // where a row's levels are among those of the four that are shuffled together
  for (std::size_t i = 0; i < sizeof row; ++i) row[i] = static_cast<std::uint8_t>(i % 16 / 4 * 4);
  return LaneBytes::each(
      [&](int i) { return shuffled(levels.bytes[i % kFourRegisters], (indices.bytes[i] & 3) | row); });
}

/// `bytes`, less `less` where bit `bit` of `where` is set.
TANDEM_INLINE LaneBytes less_where(const LaneBytes& bytes, const LaneBytes& where, int bit,
                                   const RowBytes& less) {
  const auto mask = static_cast<std::uint8_t>(1 << bit);
  return LaneBytes::each([&](int i) {
    return subtract_where(bytes.bytes[i], where.bytes[i], RegisterBytes{} + mask,
                          less.bytes[i % kFourRegisters]);
  });
}

/// The scaled quants of group after group of a block, to(group, sixteen).
template <class Source, class Sink>
TANDEM_INLINE void unpack_scaled(Q2_K, const Source& from, const Sink& to) {
  const auto scales = Q2_K::scale_bytes(from);
  Q2_K::unpack_fields_in_turn(from, [&](int group, const LaneBytes& low) {
    to(group, look_up_levels(multiples(RowBytes::of(scales[group / 4], group % 4)), low));
  });
}
template <class Source, class Sink>
TANDEM_INLINE void unpack_scaled(Q3_K, const Source& from, const Sink& to) {
  const auto scales = Q3_K::scale_bytes(from);
  Q3_K::unpack_fields_in_turn(from, [&](int group, const LaneBytes& low, const LaneBytes& third, int bit) {
    const RowBytes excess = RowBytes::of(scales[group / 4], group % 4);
    const RowBytes scale = RowBytes::each([&](int i) { return excess.bytes[i] - 32; });
    const RowBytes four = RowBytes::each([&](int i) {
      const RegisterBytes two = scale.bytes[i] + scale.bytes[i];
      return two + two;
    });
    const RowBytes several = multiples(scale);
    const RowBytes levels =
        RowBytes::each([&](int i) { return four.bytes[i] - several.bytes[i] + kScaledOffset; });
    to(group, less_where(look_up_levels(levels, low), third, bit, four));
  });
}

/// What the sums of scaled quants are multiplied by.
template <class Format>
TANDEM_INLINE LaneFloats scaled_factor(LaneFloats factor) {
  return Format::kOffset == 0 ? factor : -factor;
}

}  // namespace
}  // namespace tandem::cpu
