#include "backends/cpu/repacked.h"

#include <algorithm>
#include <cstring>

#include "backends/cpu/blocks.h"
#include "backends/cpu/dequantise.h"

namespace tandem::cpu {
namespace {

/// Bytes of a field that kernels read at once, of one row and of sixteen.
constexpr std::size_t kFieldBytes = 16;
constexpr std::size_t kLaneFieldBytes = kFieldBytes * kLaneRows;

/// What the layout of a block type depends on.
struct BlockFields {
  std::size_t elems = 0;  ///< of a block; 0: not a block type
  std::size_t bytes = 0;
  std::size_t fields_at = 0;  ///< where its fields of sixteen bytes begin

  explicit BlockFields(device::BlockType type) noexcept {
    for_each_block_format([&](auto format) {
      if (format.kType != type) return;
      elems = format.kElems;
      bytes = format.kBytes;
      fields_at = format.kFieldsAt;
    });
  }
  [[nodiscard]] std::size_t fields() const noexcept { return bytes / kFieldBytes; }
  [[nodiscard]] std::size_t small_bytes() const noexcept { return bytes % kFieldBytes; }
  [[nodiscard]] std::size_t small_at() const noexcept { return fields_at == 0 ? fields() * kFieldBytes : 0; }
};

/// Bytes from a matrix's beginning.
struct PanelParts {
  std::size_t fields;      ///< of the first block
  std::size_t field_step;  ///< from field to field
  std::size_t small;       ///< small fields of the first block
};

/// A matrix of `out` rows of `in` elements.
class RepackedShape {
 public:
  RepackedShape(const BlockFields& fields, device::WeightLayout layout, std::uint32_t in,
                std::uint32_t out) noexcept
      : layout_(layout),
        out_(out),
        panels_(in / kPackedColumns),
        blocks_(kPackedColumns / fields.elems),
        field_bytes_(blocks_ * fields.fields() * kLaneFieldBytes),
        small_bytes_(blocks_ * fields.small_bytes() * kLaneRows) {}

  /// Of a row in a panel.
  [[nodiscard]] std::size_t blocks() const noexcept { return blocks_; }

  /// The panel that has block `block` of the sixteen rows of `row`.
  [[nodiscard]] PanelParts panel_at(std::uint32_t row, std::size_t block) const noexcept {
    const std::size_t panel = block / blocks_;
    return layout_ == device::WeightLayout::planes ? in_planes(row, panel) : in_panels(row, panel);
  }

 private:
  [[nodiscard]] std::size_t panel_bytes() const noexcept { return field_bytes_ + small_bytes_; }

  [[nodiscard]] PanelParts in_planes(std::uint32_t row, std::size_t panel) const noexcept {
    const std::uint32_t first_row = row / kSlabRows * kSlabRows;
    const std::size_t slab_panels = std::min(out_ - first_row, kSlabRows) / kLaneRows * panels_;
    const std::size_t start = first_row / kLaneRows * panels_ * panel_bytes();
    const std::size_t i = (row - first_row) / kLaneRows * panels_ + panel;
    return {start + i * kLaneFieldBytes, slab_panels * kLaneFieldBytes,
            start + slab_panels * field_bytes_ + i * small_bytes_};
  }

  [[nodiscard]] PanelParts in_panels(std::uint32_t row, std::size_t panel) const noexcept {
    const std::size_t start = (row / kLaneRows * panels_ + panel) * panel_bytes();
    return {start, kLaneFieldBytes, start + field_bytes_};
  }

  device::WeightLayout layout_;
  std::uint32_t out_;
  std::size_t panels_, blocks_;
  std::size_t field_bytes_, small_bytes_;  ///< of a panel
};

/// The parts of one block of sixteen rows.
class LaneBlock {
 public:
  LaneBlock(const BlockFields& fields, const RepackedShape& shape, std::uint32_t row,
            std::size_t block) noexcept
      : panel_(shape.panel_at(row, block)),
        first_field_(block % shape.blocks() * fields.fields()),
        small_at_(panel_.small + block % shape.blocks() * fields.small_bytes() * kLaneRows) {}

  [[nodiscard]] std::size_t field_at(std::size_t field) const noexcept {
    return panel_.fields + (first_field_ + field) * panel_.field_step;
  }
  [[nodiscard]] std::size_t small_at() const noexcept { return small_at_; }

 private:
  PanelParts panel_;
  std::size_t first_field_, small_at_;
};

/// Calls visit(offset, bytes) for the pieces of a block's small fields.
template <class Visitor>
void for_small_pieces(const BlockFields& fields, const Visitor& visit) {
  const std::size_t odd = fields.small_bytes() % 4, words = fields.small_bytes() - odd;
  const bool odd_first = fields.fields_at != 0;
  if (odd != 0) visit(odd_first ? 0 : words, odd);
  for (std::size_t at = 0; at < words; at += 4) visit(at + (odd_first ? odd : 0), std::size_t{4});
}

using Words4 = std::uint32_t __attribute__((vector_size(16)));

Words4 words_at(const std::uint8_t* from) {
  Words4 words;
  std::memcpy(&words, from, sizeof words);
  return words;
}

/// Sixteen bytes of each of sixteen rows, `stride` bytes apart, to a field: four rows at a time transposed.
void transpose_field(const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
  for (std::size_t four = 0; four < kLaneRows; four += 4) {
    const std::uint8_t* row = from + four * stride;
    const Words4 a = words_at(row), b = words_at(row + stride);
    const Words4 c = words_at(row + 2 * stride), d = words_at(row + 3 * stride);
    const Words4 ab_low = __builtin_shufflevector(a, b, 0, 4, 1, 5);
    const Words4 ab_high = __builtin_shufflevector(a, b, 2, 6, 3, 7);
    const Words4 cd_low = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Words4 cd_high = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    const Words4 columns[] = {__builtin_shufflevector(ab_low, cd_low, 0, 1, 4, 5),
                              __builtin_shufflevector(ab_low, cd_low, 2, 3, 6, 7),
                              __builtin_shufflevector(ab_high, cd_high, 0, 1, 4, 5),
                              __builtin_shufflevector(ab_high, cd_high, 2, 3, 6, 7)};
    for (std::size_t word = 0; word < 4; ++word) {
      std::memcpy(to + 64 * word + 4 * four, &columns[word], sizeof columns[word]);
    }
  }
}

/// kBytes bytes of each of sixteen rows.
template <std::size_t kBytes>
void interleave_small(const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
  for (std::size_t row = 0; row < kLaneRows; ++row) {
    std::memcpy(to + kBytes * row, from + row * stride, kBytes);
  }
}

/// Bytes from the beginning of a matrix of floats in panels to column `column` of row `row`.
std::size_t float_at(const device::Matrix& w, std::uint32_t row, std::uint32_t column) noexcept {
  const std::size_t groups_of_rows = row / kLaneRows, fields = column / kFloatFieldElems;
  const std::size_t elems = groups_of_rows * kLaneRows * w.in + fields * kLaneRows * kFloatFieldElems +
                            row % kLaneRows * kFloatFieldElems + column % kFloatFieldElems;
  return elems * block_bytes(w.type);
}

/// Rows [first_row, first_row + rows) of a matrix of floats to panels.
void floats_to_panels(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                      std::uint32_t rows) noexcept {
  const std::size_t field_bytes = std::size_t{kFloatFieldElems} * block_bytes(part.type);
  const auto* from = static_cast<const std::byte*>(part.data);
  const std::size_t row_bytes = cpu::row_bytes(part.type, part.in);
  for (std::uint32_t row = first_row; row < first_row + rows;
       row += kLaneRows, from += kLaneRows * row_bytes) {
    std::byte* field = to + float_at(part, row, 0);
    for (std::size_t at = 0; at < row_bytes; at += field_bytes) {
      for (std::size_t lane = 0; lane < kLaneRows; ++lane, field += field_bytes) {
        std::memcpy(field, from + lane * row_bytes + at, field_bytes);
      }
    }
  }
}

/// Columns [first, first + n) of a row of floats.
void floats_from_repacked(const device::Matrix& w, std::uint32_t row, std::uint32_t first, std::uint32_t n,
                          std::byte* to) noexcept {
  const auto* const from = static_cast<const std::byte*>(w.data);
  const std::size_t bytes = block_bytes(w.type);
  if (lies_in_rows(w)) {
    std::memcpy(to, from + row * row_bytes(w.type, w.in) + first * bytes, n * bytes);
    return;
  }
  for (std::uint32_t column = first; column < first + n;) {
    const auto run = std::min(kFloatFieldElems - column % kFloatFieldElems, first + n - column);
    std::memcpy(to, from + float_at(w, row, column), run * bytes);
    to += run * bytes;
    column += run;
  }
}

class LaneRepacker final : public device::Repacker {
 public:
  explicit LaneRepacker(device::WeightLayout layout) noexcept : layout_(layout) {}

  device::WeightLayout layout() const noexcept override { return layout_; }

  bool repacks(device::BlockType type, std::uint32_t in, std::uint32_t out) const noexcept override {
    return block_elems(type) != 0 && in > 0 && in % kPackedColumns == 0 && out % kLaneRows == 0;
  }

  std::uint32_t row_step() const noexcept override {
    return layout_ == device::WeightLayout::planes ? kSlabRows : kLaneRows;
  }

  void repack_rows(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                   std::uint32_t rows) const noexcept override {
    if (device::multiplies_floats(part.type)) return place_floats(to, part, first_row, rows);
    const BlockFields fields(part.type);
    const std::size_t row_blocks = part.in / fields.elems, row_bytes = row_blocks * fields.bytes;
    const auto* from = static_cast<const std::uint8_t*>(part.data);
    const RepackedShape shape(fields, layout_, part.in, part.out);
    for (std::uint32_t row = first_row; row < first_row + rows; row += kLaneRows) {
      for (std::size_t block = 0; block < row_blocks; ++block) {
        repack_block(fields, {fields, shape, row, block}, from + block * fields.bytes, row_bytes,
                     reinterpret_cast<std::uint8_t*>(to));
      }
      from += kLaneRows * row_bytes;
    }
  }

 private:
  void place_floats(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                    std::uint32_t rows) const noexcept {
    if (layout_ == device::WeightLayout::panels) return floats_to_panels(to, part, first_row, rows);
    const std::size_t row_bytes = cpu::row_bytes(part.type, part.in);
    std::memcpy(to + first_row * row_bytes, part.data, rows * row_bytes);
  }

  /// A block of the sixteen rows of a group.
  static void repack_block(const BlockFields& fields, const LaneBlock& block, const std::uint8_t* from,
                           std::size_t stride, std::uint8_t* to) {
    for (std::size_t field = 0; field < fields.fields(); ++field) {
      transpose_field(from + fields.fields_at + field * kFieldBytes, stride, to + block.field_at(field));
    }
    const std::uint8_t* small = from + fields.small_at();
    std::uint8_t* small_to = to + block.small_at();
    for_small_pieces(fields, [&](std::size_t at, std::size_t bytes) {
      std::uint8_t* piece = small_to + kLaneRows * at;
      if (bytes == 4) return interleave_small<4>(small + at, stride, piece);
      if (bytes == 2) return interleave_small<2>(small + at, stride, piece);
      interleave_small<1>(small + at, stride, piece);
    });
  }

  device::WeightLayout layout_;
};

}  // namespace

const device::Repacker& plane_repacker() noexcept {
  static const LaneRepacker repacker(device::WeightLayout::planes);
  return repacker;
}

const device::Repacker& panel_repacker() noexcept {
  static const LaneRepacker repacker(device::WeightLayout::panels);
  return repacker;
}

const device::Repacker& best_repacker() noexcept {
#if defined(__x86_64__)
  if (!__builtin_cpu_is("amd")) return plane_repacker();
#endif
  return panel_repacker();
}

bool lies_in_rows(const device::Matrix& w) noexcept {
  return w.layout == device::WeightLayout::rows ||
         (w.layout == device::WeightLayout::planes && device::multiplies_floats(w.type));
}

void blocks_from_repacked(const device::Matrix& w, std::uint32_t row, std::uint32_t first, std::uint32_t n,
                          std::byte* to) noexcept {
  if (device::multiplies_floats(w.type)) return floats_from_repacked(w, row, first, n, to);
  const BlockFields fields(w.type);
  const RepackedShape shape(fields, w.layout, w.in, w.out);
  const auto* from = static_cast<const std::byte*>(w.data);
  const std::size_t lane = row % kLaneRows;
  for (std::size_t block = first; block < std::size_t{first} + n; ++block, to += fields.bytes) {
    const LaneBlock parts(fields, shape, row, block);
    for (std::size_t field = 0; field < fields.fields(); ++field) {
      const std::byte* words = from + parts.field_at(field) + 4 * lane;
      std::byte* field_to = to + fields.fields_at + field * kFieldBytes;
      for (std::size_t word = 0; word < 4; ++word) std::memcpy(field_to + 4 * word, words + 64 * word, 4);
    }
    const std::byte* small = from + parts.small_at();
    for_small_pieces(fields, [&](std::size_t at, std::size_t bytes) {
      std::memcpy(to + fields.small_at() + at, small + kLaneRows * at + bytes * lane, bytes);
    });
  }
}

}  // namespace tandem::cpu
