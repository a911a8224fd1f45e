#pragma once

// Sixteen rows of W unpacked for more than one activation row.

#include "backends/cpu/lanes.h"
#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// Sixteen rows of W, up to 256 columns: lane = row, four columns a lane.
struct Panel {
  alignas(64) std::uint8_t quants[kPanelColumns / 4][kTileOutputs][4];
  alignas(64) float scales[kPanelColumns / 16][kTileOutputs];
  alignas(64) float mins[kPanelColumns / 16][kTileOutputs];
};

/// `columns` columns of sixteen rows, from `w` on and `stride` bytes apart.
template <class Format>
void fill_panel(const std::uint8_t* w, std::size_t stride, int columns, Panel& panel) {
  constexpr int kGroups = Format::kElems / Format::kGroup;
  LaneRows rows(w, stride);
  AskAhead ahead;
  for (int block = 0; block < columns / Format::kElems; ++block) {
    ahead.advance(rows, Format::kBytes);
    const LaneSource from{rows, 0, Format::kBytes};
    Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
      auto* to = &panel.quants[(block * kGroups + group) * Format::kGroup / 4];
      const auto put = [&](const LaneBytes& sixteen) {
        __builtin_memcpy(to, &sixteen, sizeof sixteen);
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

}  // namespace
}  // namespace tandem::cpu
