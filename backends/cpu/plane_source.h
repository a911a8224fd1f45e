#pragma once

// Repacked weights (planes.h) as a source for blocks.h: lanes come from memory as kernels want them.

#include "backends/cpu/lanes.h"
#include "backends/cpu/planes.h"

namespace tandem::cpu {
namespace {

static_assert(kPlaneRows == kTileOutputs);

/// A panel of sixteen rows in a slab; the next panel, or the first one of the next sixteen rows, follows it
/// in every plane.
struct PanelPlanes {
  const std::uint8_t* fields;  ///< in the first plane
  std::size_t stride;          ///< from plane to plane
  const std::uint8_t* small;   ///< in the plane of small fields
};

/// Bytes of a panel in a plane of fields.
inline constexpr std::size_t kPanelFieldBytes = 16 * kPlaneRows;

template <class Format>
struct PlaneFields {
  static constexpr int kBlocks = static_cast<int>(kPlaneColumns) / Format::kElems;  ///< of a panel
  static constexpr int kFields = Format::kBytes / 16;                               ///< of a block
  static constexpr int kSmallAt = Format::kFieldsAt == 0 ? kFields * 16 : 0;
  static constexpr std::size_t kSmallBytes = Format::kBytes % 16 * kPlaneRows;  ///< of sixteen blocks
};

/// Panel `panel` of the group of row `row` of a repacked matrix.
template <class Format>
PanelPlanes panel_planes(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) {
  using Fields = PlaneFields<Format>;
  const std::size_t panels = w.in / kPlaneColumns;
  const std::uint32_t slab = row / kSlabRows * kSlabRows;
  const std::size_t groups = (w.out - slab < kSlabRows ? w.out - slab : kSlabRows) / kPlaneRows;
  const std::size_t i = (row - slab) / kPlaneRows * panels + panel;
  const auto* at =
      static_cast<const std::uint8_t*>(w.data) + slab * panels * Fields::kBlocks * Format::kBytes;
  const std::size_t stride = groups * panels * kPanelFieldBytes;
  return {at + i * kPanelFieldBytes, stride,
          at + Fields::kBlocks * Fields::kFields * stride + i * Fields::kBlocks * Fields::kSmallBytes};
}

/// A block of sixteen rows.  What it gives, it asks for kAhead bytes ahead in the same plane.
template <class Format>
class PlaneSource : public LaneNumbers {
 public:
  using Fields = PlaneFields<Format>;

  /// The block `block` blocks after the one that `planes` and `small` begin with.
  TANDEM_INLINE PlaneSource(const LaneRows& planes, const std::uint8_t* small, int block)
      : planes_(planes),
        first_field_(block * Fields::kFields),
        small_(small + static_cast<std::size_t>(block) * Fields::kSmallBytes) {}

  TANDEM_INLINE LaneBytes bytes(std::size_t offset) const {
    const std::uint8_t* from = field(offset);
    const LaneBytes result = LaneBytes::each([&](int i) {  // as a whole, it would pass through memory
      RegisterBytes bytes;
      __builtin_memcpy(&bytes, from + static_cast<std::size_t>(i) * sizeof bytes, sizeof bytes);
      return bytes;
    });
#pragma GCC unroll 4
    for (std::size_t line = 0; line < kPanelFieldBytes; line += 64) __builtin_prefetch(from + kAhead + line);
    return result;
  }

  TANDEM_INLINE LaneWords byte(std::size_t offset) const {
    return widened(small(offset));
  }
  TANDEM_INLINE LaneFloats half(std::size_t offset) const {
    std::uint16_t halves[kTileOutputs];
    __builtin_memcpy(halves, small(offset), sizeof halves);
    return in_lanes(load_half(halves));
  }
  TANDEM_INLINE LaneWords word(std::size_t offset) const {
    return words(offset, 1)[0];
  }

  TANDEM_INLINE Words words(std::size_t offset, std::size_t n) const {
    const bool is_small = offset - Fields::kSmallAt < Fields::kSmallBytes / kPlaneRows;
    const std::uint8_t* from = is_small ? small(offset) : field(offset);
    Words result = {};
    for (std::size_t i = 0; i < n; ++i) {
      __builtin_memcpy(&result.words[i], from + sizeof(LaneWords) * i, sizeof(LaneWords));
      if (!is_small) __builtin_prefetch(from + kAhead + sizeof(LaneWords) * i);
    }
    return result;
  }

 private:
  /// Bytes of each stream; with more streams the first-level cache would have to hold too much.
  static constexpr std::size_t kAhead = Fields::kBlocks * Fields::kFields <= 9 ? 1024 : 512;

  TANDEM_INLINE const std::uint8_t* field(std::size_t offset) const {
    return planes_.row(first_field_ + static_cast<int>((offset - Format::kFieldsAt) / 16));
  }
  /// Sixteen bytes as words.
  TANDEM_INLINE static LaneWords widened(const std::uint8_t* bytes) {
    constexpr std::size_t kWords = sizeof(Register) / 4;
    LaneWords words;
    for (std::size_t i = 0; i < kTileOutputs; i += kWords) {
      const Register some = widen_bytes_as(As<Register>{}, bytes + i);
      __builtin_memcpy(reinterpret_cast<char*>(&words) + 4 * i, &some, sizeof some);
    }
    return words;
  }
  TANDEM_INLINE const std::uint8_t* small(std::size_t offset) const {
    return small_ + (offset - Fields::kSmallAt) * kPlaneRows;
  }

  const LaneRows& planes_;
  int first_field_;
  const std::uint8_t* small_;
};

/// Goes through panels that follow each other, so many blocks at a time.
template <class Format>
class PanelReader {
 public:
  using Fields = PlaneFields<Format>;

  TANDEM_INLINE explicit PanelReader(const PanelPlanes& at)
      : panel_(at.fields, at.stride), planes_(panel_), stride_(at.stride), small_(at.small) {}

  TANDEM_INLINE PlaneSource<Format> block(int i) const { return {planes_, small_, i}; }

  /// `n` blocks further on in the panel.
  TANDEM_INLINE void advance_blocks(int n) {
    planes_.advance(static_cast<std::size_t>(n * Fields::kFields) * stride_);
    small_ += static_cast<std::size_t>(n) * Fields::kSmallBytes;
  }

  /// From behind a panel to the next one.
  TANDEM_INLINE void next_panel() {
    panel_.advance(kPanelFieldBytes);
    planes_ = panel_;
    for (std::size_t line = 0; line < Fields::kBlocks * Fields::kSmallBytes; line += 64) {
      __builtin_prefetch(small_ + kAhead + line);
    }
  }

 private:
  static constexpr std::size_t kAhead = 1024;

  LaneRows panel_, planes_;
  std::size_t stride_;
  const std::uint8_t* small_;
};

}  // namespace
}  // namespace tandem::cpu
