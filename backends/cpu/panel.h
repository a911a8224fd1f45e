#pragma once

// Sixteen rows of W unpacked for many activation rows.

#include "backends/cpu/lanes.h"

namespace tandem::cpu {
namespace {

inline constexpr int kPanelColumns = 256;

/// Sixteen rows of W, up to 256 columns: lane = row, four columns a lane.
struct Panel {
  alignas(64) std::uint8_t quants[kPanelColumns / 4][kTileOutputs][4];
  alignas(64) float scales[kPanelColumns / 16][kTileOutputs];
  alignas(64) float mins[kPanelColumns / 16][kTileOutputs];
};

/// `columns` columns of sixteen rows from `rows` on, each quant through `form`.
template <class Format, class Form>
TANDEM_INLINE void fill_panel_with(LaneRows rows, int columns, Panel& panel, const Form& form) {
  constexpr int kGroups = Format::kElems / Format::kGroup;
  for (int block = 0; block < columns / Format::kElems; ++block) {
    const LaneSource from{rows, 0, Format::kBytes};
    Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
      auto* to = &panel.quants[(block * kGroups + group) * Format::kGroup / 4];
      const auto put = [&](const LaneBytes& sixteen) {
        const LaneBytes formed = form(sixteen);
        __builtin_memcpy(to, &formed, sizeof formed);
        to += LaneBytes::kFours;
      };
      (put(sixteens), ...);
    });
    Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
      const int g = block * kGroups + group;
      __builtin_memcpy(panel.scales[g], &scale, sizeof scale);
      (__builtin_memcpy(panel.mins[g], &min, sizeof min), ...);
    });
    rows.advance(Format::kBytes);
  }
}

template <class Format>
void fill_panel(const LaneRows& rows, int columns, Panel& panel) {
  fill_panel_with<Format>(rows, columns, panel, [](const LaneBytes& quants) { return quants; });
}

/// Quants less the format's offset, as signed bytes.
template <class Format>
void fill_signed_panel(const LaneRows& rows, int columns, Panel& panel) {
  fill_panel_with<Format>(rows, columns, panel, [](const LaneBytes& quants) {
    return Format::kOffset == 0 ? quants : quants - std::uint8_t{Format::kOffset};
  });
}

}  // namespace
}  // namespace tandem::cpu
