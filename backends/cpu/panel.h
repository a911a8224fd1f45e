#pragma once

// Sixteen rows of W unpacked for more than one activation row.

#include "backends/cpu/lanes.h"
#include "backends/cpu/panel_row.h"
#include "backends/cpu/repacked_source.h"
#include "backends/cpu/scaled_quants.h"

namespace tandem::cpu {
namespace {

/// Lanes to memory, register by register: as a whole, a compiler would copy them sixteen bytes at a time.
TANDEM_INLINE void store_lanes(void* to, const LaneBytes& lanes) {
  auto* bytes = static_cast<std::uint8_t*>(to);
  for (int i = 0; i < LaneBytes::kRegisters; ++i)
    store(bytes + i * sizeof(Register), (Register)lanes.bytes[i]);
}
TANDEM_INLINE void store_lanes(float* to, const LaneFloats& lanes) {
  store(to, in_registers(lanes));
}
TANDEM_INLINE void store_lanes(std::uint32_t* to, const LaneWords& lanes) {
  store(reinterpret_cast<std::uint8_t*>(to), in_registers(lanes));
}

/// Sixteen rows of W, up to 256 columns: lane = row, four columns a lane.
struct Panel {
  alignas(64) std::uint8_t quants[kPanelColumns / 4][kTileOutputs][4];
  /// Whole numbers with halves, and in both int16 of a lane where sums are int16.
  alignas(64) float scales[kPanelColumns / 16][kTileOutputs];
  alignas(64) float mins[kPanelGroups][kTileOutputs];  ///< of groups of 32
  // Of blocks of halves: what blocks.h calls mins and factors.
  alignas(64) std::uint32_t whole_mins[kPanelGroups][kTileOutputs];
  alignas(64) float factor[kTileOutputs];
  alignas(64) float min_factor[kTileOutputs];
};

/// The factors of a block, and whole scales and mins.
template <class Format, class Kind, class Source>
TANDEM_INLINE void fill_factors(const Source& from, Panel& panel) {
  Format::unpack_factors(from, [&](LaneFloats factor, auto... min_factor) {
    store_lanes(panel.factor, Kind::kScaled ? scaled_factor<Format>(factor) : factor);
    (store_lanes(panel.min_factor, min_factor), ...);
  });
  if constexpr (!Kind::kScaled) {
    Format::unpack_scales(from, [&](int group, LaneWords whole) {
      const F32x16 scale = in_registers(Source::to_floats(whole));
      if constexpr (Kind::kInInt16) {
        store(reinterpret_cast<std::uint8_t*>(panel.scales[group]), low_twice(to_int(scale)));
      } else {
        store(panel.scales[group], scale);
      }
    });
  }
  if constexpr (Format::kHasMin) {
    Format::unpack_mins(from, [&](int i, LaneWords whole) { store_lanes(panel.whole_mins[i], whole); });
  }
}

/// A block of sixteen rows to the columns from `column` on.
template <class Format, class Kind, class Source>
TANDEM_INLINE void fill_block(const Source& from, int column, Panel& panel) {
  const auto put_group = [&](int group, const auto&... sixteens) {
    auto* to = &panel.quants[(column + group * Format::kGroup) / 4];
    const auto put = [&](const LaneBytes& sixteen) {
      store_lanes(to, as_multiplied<Kind>(sixteen));
      to += LaneBytes::kFours;
    };
    (put(sixteens), ...);
  };
  if constexpr (Kind::kScaled) {
    unpack_scaled(Format{}, from, put_group);
  } else {
    Format::unpack_quants(from, put_group);
  }
  if constexpr (Kind::kFactors) {
    static_assert(Format::kElems == kPanelColumns);
    fill_factors<Format, Kind>(from, panel);
  } else {
    Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
      const int g = column / Format::kGroup + group;
      store_lanes(panel.scales[g], scale);
      (store_lanes(panel.mins[g], min), ...);
    });
  }
}

/// `columns` columns of sixteen rows, from `w` on and `stride` bytes apart.
template <class Format, class Kind>
void fill_panel(const std::uint8_t* w, std::size_t stride, int columns, Panel& panel) {
  LaneRows rows(w, stride);
  AskAhead ahead;
  for (int column = 0; column < columns; column += Format::kElems) {
    ahead.advance(rows, Format::kBytes);
    fill_block<Format, Kind>(LaneSource(rows, 0, Format::kBytes), column, panel);
    rows.advance(Format::kBytes);
  }
}

/// The panel `at`.
template <class Format, class Kind, class Reader>
void fill_repacked_panel(const PanelPlace& at, Panel& panel) {
  Reader reader(at);
  for (int column = 0; column < kPanelColumns; column += Format::kElems) {
    fill_block<Format, Kind>(reader.block(0), column, panel);
    reader.advance_blocks(1);
  }
}

}  // namespace
}  // namespace tandem::cpu
