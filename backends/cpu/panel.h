#pragma once

// Sixteen rows of W side by side: how block types get into the form that multiply_panel wants.

#include "backends/cpu/blocks.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

inline constexpr int kPanelColumns = 256;

/// Sixteen rows of W, up to 256 columns: lane = row, four columns a lane.
struct Panel {
  alignas(64) std::uint8_t quants[kPanelColumns / 4][kTileOutputs][4];
  alignas(64) float scales[kPanelColumns / 16][kTileOutputs];
  alignas(64) float mins[kPanelColumns / 16][kTileOutputs];
};

/// Where sixteen rows start.
using RowPointers = const std::uint8_t* [kTileOutputs];

#if defined(__AVX512VNNI__)
using Register = __m512i;
#elif defined(__AVX2__)
using Register = __m256i;
#else
using Register = __m128i;
#endif
using RegisterBytes = std::uint8_t __attribute__((vector_size(sizeof(Register))));

TANDEM_INLINE RegisterBytes look_up_register(const std::uint8_t (&levels)[16], RegisterBytes indices) {
  const __m128i table = _mm_loadu_si128(reinterpret_cast<const __m128i*>(levels));
#if defined(__AVX512VNNI__)
  return (RegisterBytes)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), (Register)indices);
#elif defined(__AVX2__)
  return (RegisterBytes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(table), (Register)indices);
#else
  return (RegisterBytes)_mm_shuffle_epi8(table, (Register)indices);
#endif
}

/// Sixteen columns of sixteen rows: four times (row 0: four bytes, row 1: four bytes, ...).
struct PanelBytes {
  static constexpr int kRegisters = 256 / sizeof(Register);
  RegisterBytes bytes[kRegisters];

  template <class Operation>
  TANDEM_INLINE static PanelBytes each(Operation operation) {
    PanelBytes result;
    for (int i = 0; i < kRegisters; ++i) result.bytes[i] = operation(i);
    return result;
  }
};

TANDEM_INLINE PanelBytes operator&(const PanelBytes& a, std::uint8_t mask) {
  return PanelBytes::each([&](int i) { return a.bytes[i] & mask; });
}
TANDEM_INLINE PanelBytes operator^(const PanelBytes& a, std::uint8_t mask) {
  return PanelBytes::each([&](int i) { return a.bytes[i] ^ mask; });
}
TANDEM_INLINE PanelBytes operator|(const PanelBytes& a, const PanelBytes& b) {
  return PanelBytes::each([&](int i) { return a.bytes[i] | b.bytes[i]; });
}
TANDEM_INLINE PanelBytes operator>>(const PanelBytes& a, int bits) {
  return PanelBytes::each([&](int i) { return a.bytes[i] >> static_cast<std::uint8_t>(bits); });
}
TANDEM_INLINE PanelBytes operator<<(const PanelBytes& a, int bits) {
  return PanelBytes::each([&](int i) { return a.bytes[i] << static_cast<std::uint8_t>(bits); });
}
TANDEM_INLINE PanelBytes look_up(const std::uint8_t (&levels)[16], const PanelBytes& indices) {
  return PanelBytes::each([&](int i) { return look_up_register(levels, indices.bytes[i]); });
}

/// Sixteen bytes at `offset` of every row, transposed in units of four.  Register j takes row 4L + j into its
/// 128-bit lane L; unpacking within lanes does the rest.
TANDEM_INLINE PanelBytes interleave(const RowPointers& rows, std::size_t offset) {
  constexpr int kLanes = sizeof(Register) / 16, kParts = 4 / kLanes;
  PanelBytes result;
  for (int part = 0; part < kParts; ++part) {
    Register r[4];
    for (int j = 0; j < 4; ++j) {
      const std::uint8_t* lanes[kLanes];
      for (int lane = 0; lane < kLanes; ++lane) lanes[lane] = rows[4 * (part * kLanes + lane) + j] + offset;
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

/// The same block of sixteen rows as a source for unpack_quants.
struct PanelSource {
  const RowPointers& rows;
  std::size_t block_at;

  TANDEM_INLINE PanelBytes bytes(std::size_t offset) const { return interleave(rows, block_at + offset); }

  /// Four bits a lane become the fifth bits of its four bytes.
  TANDEM_INLINE PanelBytes fifth_bits(std::size_t offset, int half) const {
    std::uint32_t bits[kTileOutputs];
    for (std::uint32_t r = 0; r < kTileOutputs; ++r)
      __builtin_memcpy(&bits[r], rows[r] + block_at + offset, 4);
    std::uint32_t spread[4][kTileOutputs];
    for (int unit = 0; unit < 4; ++unit) {
      for (std::uint32_t r = 0; r < kTileOutputs; ++r) {
        const std::uint32_t four = (bits[r] >> (16 * half + 4 * unit)) & 15;
        spread[unit][r] = ((four * 0x00204081u) & 0x01010101u) << 4;
      }
    }
    PanelBytes result;
    __builtin_memcpy(&result, spread, sizeof result);
    return result;
  }
};

/// Scales of blocks of 32: one fp16, or one number of another kind, a row.
template <class Format>
void fill_block_scales(const RowPointers& rows, std::size_t block_at, int group, Panel& panel) {
  if constexpr (requires { Format::kScaleAt; }) {
    const auto convert = [&](std::size_t offset, float* to) {
      std::uint16_t halves[kTileOutputs];
      for (std::uint32_t r = 0; r < kTileOutputs; ++r) {
        __builtin_memcpy(&halves[r], rows[r] + block_at + offset, sizeof halves[r]);
      }
      store(to, load_half(halves));
    };
    convert(Format::kScaleAt, panel.scales[group]);
    if constexpr (Format::kHasMin) convert(Format::kMinAt, panel.mins[group]);
  } else {
    for (std::uint32_t r = 0; r < kTileOutputs; ++r) {
      unpack_scales<Format>(rows[r] + block_at, &panel.scales[group][r], nullptr);
    }
  }
}

/// Scales of blocks of 256: row by row, then transposed.
template <class Format>
void fill_super_block_scales(const RowPointers& rows, std::size_t block_at, Panel& panel) {
  constexpr int kGroups = Format::kElems / Format::kGroup;
  alignas(64) float scales[kTileOutputs][kGroups];
  alignas(64) float mins[kTileOutputs][kGroups];
  RowPointers scale_rows, min_rows;
  for (std::uint32_t r = 0; r < kTileOutputs; ++r) {
    unpack_scales<Format>(rows[r] + block_at, scales[r], mins[r]);
    scale_rows[r] = reinterpret_cast<const std::uint8_t*>(scales[r]);
    min_rows[r] = reinterpret_cast<const std::uint8_t*>(mins[r]);
  }
  for (int g = 0; g < kGroups; g += 4) {
    const PanelBytes four_scales = interleave(scale_rows, static_cast<std::size_t>(g) * sizeof(float));
    __builtin_memcpy(panel.scales[g], &four_scales, sizeof four_scales);
    if constexpr (Format::kHasMin) {
      const PanelBytes four_mins = interleave(min_rows, static_cast<std::size_t>(g) * sizeof(float));
      __builtin_memcpy(panel.mins[g], &four_mins, sizeof four_mins);
    }
  }
}

/// Asks for the columns [column, column + kPanelColumns) of sixteen rows ahead of time: sixteen streams that
/// each move a few cache lines at a time are more than the hardware follows.
template <class Format>
TANDEM_INLINE void prefetch_panel(const RowPointers& rows, int column) {
  constexpr std::size_t kBytes = std::size_t{kPanelColumns} / Format::kElems * Format::kBytes;
  const std::size_t first = static_cast<std::size_t>(column / Format::kElems) * Format::kBytes;
  for (const std::uint8_t* row : rows) {
    for (std::size_t at = 0; at < kBytes; at += 64) __builtin_prefetch(row + first + at);
  }
}

/// Columns [column, column + columns) of sixteen rows.
template <class Format>
void fill_panel(const RowPointers& rows, int column, int columns, Panel& panel) {
  for (int c = 0; c < columns; c += Format::kElems) {
    const std::size_t block_at = static_cast<std::size_t>((column + c) / Format::kElems) * Format::kBytes;
    Format::unpack_quants(PanelSource{rows, block_at}, [&](int at, const PanelBytes& quants) {
      __builtin_memcpy(panel.quants[(c + at) / 4], &quants, sizeof quants);
    });
    if constexpr (Format::kElems == 32) {
      fill_block_scales<Format>(rows, block_at, c / 32, panel);
    } else {
      fill_super_block_scales<Format>(rows, block_at, panel);
    }
  }
}

}  // namespace
}  // namespace tandem::cpu
