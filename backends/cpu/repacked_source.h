#pragma once

// Repacked weights (repacked.h) as a source for blocks.h: lanes come from memory as kernels want them.

#include "backends/cpu/lanes.h"
#include "backends/cpu/repacked.h"

namespace tandem::cpu {
namespace {

static_assert(kLaneRows == kTileOutputs);

/// A panel of sixteen rows in memory; the next panel, or the first one of the next sixteen rows, follows it.
struct PanelPlace {
  const std::uint8_t* fields;  ///< the first one
  std::size_t stride;          ///< from field to field
  const std::uint8_t* small;   ///< small fields
};

/// Bytes of a field of sixteen rows.
inline constexpr std::size_t kLaneFieldBytes = 16 * kLaneRows;

template <class Format>
struct PanelFields {
  static constexpr int kBlocks = static_cast<int>(kPackedColumns) / Format::kElems;  ///< of a panel
  static constexpr int kFields = Format::kBytes / 16;                                ///< of a block
  static constexpr int kSmallAt = Format::kFieldsAt == 0 ? kFields * 16 : 0;
  static constexpr std::size_t kSmallBytes = Format::kBytes % 16 * kLaneRows;  ///< of sixteen blocks
  static constexpr std::size_t kAllFieldBytes = kBlocks * kFields * kLaneFieldBytes;
  static constexpr std::size_t kBytes = kAllFieldBytes + kBlocks * kSmallBytes;  ///< of a panel

  /// Whether the bytes from `offset` of a block on are among its small fields.
  static constexpr bool is_small(std::size_t offset) { return offset - kSmallAt < kSmallBytes / kLaneRows; }
};

/// Panel `panel` of the sixteen rows from `row` on, of a matrix in planes.
template <class Format>
PanelPlace place_in_planes(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) {
  using Fields = PanelFields<Format>;
  const std::size_t panels = w.in / kPackedColumns;
  const std::uint32_t slab = row / kSlabRows * kSlabRows;
  const std::size_t groups = (w.out - slab < kSlabRows ? w.out - slab : kSlabRows) / kLaneRows;
  const std::size_t i = (row - slab) / kLaneRows * panels + panel;
  const auto* at =
      static_cast<const std::uint8_t*>(w.data) + slab * panels * Fields::kBlocks * Format::kBytes;
  const std::size_t stride = groups * panels * kLaneFieldBytes;
  return {at + i * kLaneFieldBytes, stride,
          at + Fields::kBlocks * Fields::kFields * stride + i * Fields::kBlocks * Fields::kSmallBytes};
}

/// The same of a matrix in panels.
template <class Format>
PanelPlace place_in_panels(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) {
  using Fields = PanelFields<Format>;
  const std::size_t i = std::size_t{row / kLaneRows} * (w.in / kPackedColumns) + panel;
  const auto* at = static_cast<const std::uint8_t*>(w.data) + i * Fields::kBytes;
  return {at, kLaneFieldBytes, at + Fields::kAllFieldBytes};
}

/// Lines of a panel.
template <class Format>
inline constexpr std::size_t kPanelLines = PanelFields<Format>::kBytes / 64;

/// Asks for lines [first, end) of a panel, in any layout, into the second-level cache.
template <class Format>
void ask_for_lines(const PanelPlace& at, std::size_t first, std::size_t end) {
  constexpr std::size_t kFieldLines = kLaneFieldBytes / 64,
                        kAllFieldLines = PanelFields<Format>::kAllFieldBytes / 64;
  constexpr int kForReading = 0, kSecondLevel = 2;
  for (std::size_t line = first; line < end; ++line) {
    const auto* const from = line < kAllFieldLines
                                 ? at.fields + line / kFieldLines * at.stride + line % kFieldLines * 64
                                 : at.small + (line - kAllFieldLines) * 64;
    __builtin_prefetch(from, kForReading, kSecondLevel);
  }
}

/// An address of which a compiler knows nothing, so that it cannot keep what was read there before.
TANDEM_INLINE const std::uint8_t* unknown(const std::uint8_t* address) {
  asm("" : "+r"(address));
  return address;
}

/// The fields of sixteen rows' blocks, as both layouts have them.
template <class Format>
class LaneFields : public LaneNumbers {
 public:
  using Fields = PanelFields<Format>;

  TANDEM_INLINE LaneWords byte(std::size_t offset) const { return widened(small(offset)); }
  TANDEM_INLINE LaneFloats half(std::size_t offset) const {
    std::uint16_t halves[kTileOutputs];
    __builtin_memcpy(halves, small(offset), sizeof halves);
    return in_lanes(load_half(halves));
  }

 protected:
  TANDEM_INLINE explicit LaneFields(const std::uint8_t* small) : small_(small) {}

  TANDEM_INLINE const std::uint8_t* small(std::size_t offset) const {
    return small_ + (offset - Fields::kSmallAt) * kLaneRows;
  }
  /// A field of sixteen bytes.
  TANDEM_INLINE static LaneBytes load_field(const std::uint8_t* from) {
    return LaneBytes::each([&](int i) {  // as a whole, it would pass through memory
      RegisterBytes bytes;
      __builtin_memcpy(&bytes, from + static_cast<std::size_t>(i) * sizeof bytes, sizeof bytes);
      return bytes;
    });
  }
  TANDEM_INLINE static Words load_words(const std::uint8_t* from, std::size_t n) {
    Words result = {};
    for (std::size_t i = 0; i < n; ++i) {
      __builtin_memcpy(&result.words[i], from + sizeof(LaneWords) * i, sizeof(LaneWords));
    }
    return result;
  }

 private:
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

  const std::uint8_t* small_;
};

/// A block of sixteen rows in planes.  What it gives, it asks for kAhead bytes ahead in the same plane.
template <class Format>
class PlaneSource : public LaneFields<Format> {
 public:
  using Fields = PanelFields<Format>;
  using Words = typename LaneNumbers::Words;

  /// The block `block` blocks after the one that `planes` and `small` begin with.
  TANDEM_INLINE PlaneSource(const LaneRows& planes, const std::uint8_t* small, int block)
      : LaneFields<Format>(small + static_cast<std::size_t>(block) * Fields::kSmallBytes),
        planes_(planes),
        first_field_(block * Fields::kFields) {}

  TANDEM_INLINE LaneBytes bytes(std::size_t offset) const {
    const std::uint8_t* from = field(offset);
    ask_ahead(from, kLaneFieldBytes);
    return this->load_field(from);
  }
  /// The same, read from memory at every call; asks ahead at the first one.
  TANDEM_INLINE LaneBytes bytes_anew(std::size_t offset, bool first_time) const {
    const std::uint8_t* from = field(offset);
    if (first_time) ask_ahead(from, kLaneFieldBytes);
    return this->load_field(unknown(from));
  }
  TANDEM_INLINE LaneWords word(std::size_t offset) const { return words(offset, 1)[0]; }
  TANDEM_INLINE Words words(std::size_t offset, std::size_t n) const {
    if (Fields::is_small(offset)) return this->load_words(this->small(offset), n);
    const std::uint8_t* from = field(offset);
    ask_ahead(from, n * sizeof(LaneWords));
    return this->load_words(from, n);
  }

 private:
  /// Bytes of each stream; with more streams the first-level cache would have to hold too much.
  static constexpr std::size_t kAhead = Fields::kBlocks * Fields::kFields <= 9 ? 1024 : 512;

  TANDEM_INLINE static void ask_ahead(const std::uint8_t* from, std::size_t bytes) {
#pragma GCC unroll 4
    for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(from + kAhead + line);
  }
  TANDEM_INLINE const std::uint8_t* field(std::size_t offset) const {
    return planes_.row(first_field_ + static_cast<int>((offset - Format::kFieldsAt) / 16));
  }

  const LaneRows& planes_;
  int first_field_;
};

/// Goes through panels in planes that follow each other, so many blocks at a time.
template <class Format>
class PlaneReader {
 public:
  using Fields = PanelFields<Format>;
  using ForOneRow = PlaneReader;
  using ForManyRows = PlaneReader;

  static PanelPlace place(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) {
    return place_in_planes<Format>(w, row, panel);
  }

  TANDEM_INLINE explicit PlaneReader(const PanelPlace& at)
      : panel_(at.fields, at.stride), planes_(panel_), stride_(at.stride), small_(at.small) {}

  TANDEM_INLINE PlaneSource<Format> block(int i) const { return {planes_, small_, i}; }

  /// `n` blocks further on in the panel.
  TANDEM_INLINE void advance_blocks(int n) {
    planes_.advance(static_cast<std::size_t>(n * Fields::kFields) * stride_);
    small_ += static_cast<std::size_t>(n) * Fields::kSmallBytes;
  }

  /// From behind a panel to the next one.
  TANDEM_INLINE void next_panel() {
    panel_.advance(kLaneFieldBytes);
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

/// How often a reader of panels asks for a line before it comes to it.
enum class Asks { never, once, twice };

/// Asks for what a reader of panels comes to later, for each line at `line` that it has got: 6 KiB ahead and,
/// where it asks twice, 12 KiB ahead before.  Lines that were asked for once are late in minutes in which
/// memory is slow to answer, however far ahead that is, and types that take bursts of lines read them a tenth
/// to a third slower in all minutes.  The far one has the hint for data that is used once; the others gain
/// half as much (bench/results/2026-11-roofline.md, "Asked for twice").
template <Asks kAsks>
TANDEM_INLINE void ask_ahead_of_panel(const std::uint8_t* line) {
  constexpr std::size_t kNear = 6144, kFar = 12288;
  if constexpr (kAsks != Asks::never) __builtin_prefetch(line + kNear);
  if constexpr (kAsks == Asks::twice) __builtin_prefetch(line + kFar, 0, 0);
}

/// A block of sixteen rows in a panel.  For as many bytes as it gives, it asks for the next ones in the order
/// of memory, whichever order it gives them in.
template <class Format, Asks kAsks>
class PanelSource : public LaneFields<Format> {
 public:
  using Fields = PanelFields<Format>;
  using Words = typename LaneNumbers::Words;

  /// Block `block` of the panel at `panel`.
  TANDEM_INLINE PanelSource(const std::uint8_t* panel, int block)
      : LaneFields<Format>(panel + Fields::kAllFieldBytes +
                           static_cast<std::size_t>(block) * Fields::kSmallBytes),
        fields_(panel + static_cast<std::size_t>(block * Fields::kFields) * kLaneFieldBytes),
        given_(fields_) {}

  TANDEM_INLINE LaneBytes bytes(std::size_t offset) const {
    ask_next(kLaneFieldBytes);
    return this->load_field(field(offset));
  }
  /// The same, read from memory at every call; asks ahead at the first one.
  TANDEM_INLINE LaneBytes bytes_anew(std::size_t offset, bool first_time) const {
    if (first_time) ask_next(kLaneFieldBytes);
    return this->load_field(unknown(field(offset)));
  }
  TANDEM_INLINE LaneWords word(std::size_t offset) const { return words(offset, 1)[0]; }
  TANDEM_INLINE Words words(std::size_t offset, std::size_t n) const {
    if (Fields::is_small(offset)) return this->load_words(this->small(offset), n);
    ask_next(n * sizeof(LaneWords));
    return this->load_words(field(offset), n);
  }

 private:
  TANDEM_INLINE void ask_next(std::size_t bytes) const {
#pragma GCC unroll 4
    for (std::size_t line = 0; line < bytes; line += 64) ask_ahead_of_panel<kAsks>(given_ + line);
    given_ += bytes;
  }
  TANDEM_INLINE const std::uint8_t* field(std::size_t offset) const {
    return fields_ + (offset - Format::kFieldsAt) / 16 * kLaneFieldBytes;
  }

  const std::uint8_t* fields_;
  mutable const std::uint8_t* given_;  ///< behind as many bytes from fields_ on as were given
};

/// Goes through panels that follow each other, so many blocks at a time.
template <class Format, Asks kAsks = Asks::twice>
class PanelReader {
 public:
  using Fields = PanelFields<Format>;

  /// The one that is fastest for one activation row: small blocks with next to no small fields come evenly,
  /// and there asking twice costs one row up to 3 %.
  using ForOneRow =
      PanelReader<Format,
                  (Format::kElems > 32 || Fields::kSmallBytes > 2 * kLaneRows) ? Asks::twice : Asks::once>;

  /// For panels that are unpacked one by one and asked for beforehand (integer_multiply.h).
  using ForManyRows = PanelReader<Format, Asks::never>;

  static PanelPlace place(const device::Matrix& w, std::uint32_t row, std::uint32_t panel) {
    return place_in_panels<Format>(w, row, panel);
  }

  TANDEM_INLINE explicit PanelReader(const PanelPlace& at) : panel_(at.fields) {}

  TANDEM_INLINE PanelSource<Format, kAsks> block(int i) const { return {panel_, block_ + i}; }

  /// `n` blocks further on in the panel.
  TANDEM_INLINE void advance_blocks(int n) { block_ += n; }

  /// From behind a panel to the next one.
  TANDEM_INLINE void next_panel() {
    for (std::size_t at = Fields::kAllFieldBytes; at < Fields::kBytes; at += 64)
      ask_ahead_of_panel<kAsks>(panel_ + at);
    panel_ += Fields::kBytes;
    block_ = 0;
  }

 private:
  const std::uint8_t* panel_;
  int block_ = 0;
};

}  // namespace
}  // namespace tandem::cpu
