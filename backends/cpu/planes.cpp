#include "backends/cpu/planes.h"

#include <cstring>

#include "backends/cpu/blocks.h"
#include "backends/cpu/dequantise.h"

namespace tandem::cpu {
namespace {

/// Bytes of a field that has a plane of its own, of one row and of a panel.
constexpr std::size_t kFieldBytes = 16;
constexpr std::size_t kPanelFieldBytes = kFieldBytes * kPlaneRows;

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

/// Where the parts of one slab are.
class Slab {
 public:
  /// The slab that has `row` in a matrix of `out` rows of `in` elements, from whose beginning it counts.
  Slab(const BlockFields& fields, std::uint32_t in, std::uint32_t out, std::uint32_t row) noexcept
      : fields_(fields),
        first_row_(row / kSlabRows * kSlabRows),
        rows_(out - first_row_ < kSlabRows ? out - first_row_ : kSlabRows),
        panels_(in / kPlaneColumns),
        row_bytes_(in / fields.elems * fields.bytes) {}

  [[nodiscard]] std::uint32_t end_row() const noexcept { return first_row_ + rows_; }

  /// Field `field` of block `block` of the group that has `row`.
  [[nodiscard]] std::size_t field_at(std::uint32_t row, std::size_t block, std::size_t field) const noexcept {
    const std::size_t plane = block % blocks() * fields_.fields() + field;
    return start() + (plane * elements() + element(row, block)) * kPanelFieldBytes;
  }
  /// The small fields of block `block` of that group.
  [[nodiscard]] std::size_t small_at(std::uint32_t row, std::size_t block) const noexcept {
    const std::size_t bytes = fields_.small_bytes() * kPlaneRows;
    return start() + blocks() * fields_.fields() * elements() * kPanelFieldBytes +
           (element(row, block) * blocks() + block % blocks()) * bytes;
  }

 private:
  /// Of a row in a panel.
  [[nodiscard]] std::size_t blocks() const noexcept { return kPlaneColumns / fields_.elems; }
  /// Panels of all groups of the slab, and the number of one of them.
  [[nodiscard]] std::size_t elements() const noexcept { return rows_ / kPlaneRows * panels_; }
  [[nodiscard]] std::size_t element(std::uint32_t row, std::size_t block) const noexcept {
    return (row - first_row_) / kPlaneRows * panels_ + block / blocks();
  }
  [[nodiscard]] std::size_t start() const noexcept { return first_row_ * row_bytes_; }

  const BlockFields& fields_;
  std::uint32_t first_row_, rows_;
  std::size_t panels_, row_bytes_;
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

/// Sixteen bytes of each of sixteen rows, `stride` bytes apart, to a plane: four rows at a time transposed.
void transpose_field(const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
  for (std::size_t four = 0; four < kPlaneRows; four += 4) {
    const std::uint8_t* row = from + four * stride;
    const Words4 a = words_at(row), b = words_at(row + stride);
    const Words4 c = words_at(row + 2 * stride), d = words_at(row + 3 * stride);
    const Words4 ab_low = __builtin_shuffle(a, b, Words4{0, 4, 1, 5});
    const Words4 ab_high = __builtin_shuffle(a, b, Words4{2, 6, 3, 7});
    const Words4 cd_low = __builtin_shuffle(c, d, Words4{0, 4, 1, 5});
    const Words4 cd_high = __builtin_shuffle(c, d, Words4{2, 6, 3, 7});
    const Words4 columns[] = {__builtin_shuffle(ab_low, cd_low, Words4{0, 1, 4, 5}),
                              __builtin_shuffle(ab_low, cd_low, Words4{2, 3, 6, 7}),
                              __builtin_shuffle(ab_high, cd_high, Words4{0, 1, 4, 5}),
                              __builtin_shuffle(ab_high, cd_high, Words4{2, 3, 6, 7})};
    for (std::size_t word = 0; word < 4; ++word) {
      std::memcpy(to + 64 * word + 4 * four, &columns[word], sizeof columns[word]);
    }
  }
}

/// kBytes bytes of each of sixteen rows.
template <std::size_t kBytes>
void interleave_small(const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
  for (std::size_t row = 0; row < kPlaneRows; ++row) {
    std::memcpy(to + kBytes * row, from + row * stride, kBytes);
  }
}

class PlaneRepacker final : public device::Repacker {
 public:
  bool repacks(device::BlockType type, std::uint32_t in, std::uint32_t out) const noexcept override {
    return BlockFields(type).elems != 0 && in > 0 && in % kPlaneColumns == 0 && out % kPlaneRows == 0;
  }

  std::uint32_t row_step() const noexcept override { return kSlabRows; }

  void repack_rows(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                   std::uint32_t rows) const noexcept override {
    const BlockFields fields(part.type);
    const std::size_t row_blocks = part.in / fields.elems, row_bytes = row_blocks * fields.bytes;
    const auto* from = static_cast<const std::uint8_t*>(part.data);
    for (std::uint32_t row = first_row; row < first_row + rows; row += kPlaneRows) {
      const Slab slab(fields, part.in, part.out, row);
      for (std::size_t block = 0; block < row_blocks; ++block) {
        repack_block(fields, slab, row, block, from + block * fields.bytes, row_bytes,
                     reinterpret_cast<std::uint8_t*>(to));
      }
      from += kPlaneRows * row_bytes;
    }
  }

 private:
  /// A block of the sixteen rows of a group.
  static void repack_block(const BlockFields& fields, const Slab& slab, std::uint32_t row, std::size_t block,
                           const std::uint8_t* from, std::size_t stride, std::uint8_t* to) {
    for (std::size_t field = 0; field < fields.fields(); ++field) {
      transpose_field(from + fields.fields_at + field * kFieldBytes, stride,
                      to + slab.field_at(row, block, field));
    }
    const std::uint8_t* small = from + fields.small_at();
    std::uint8_t* small_to = to + slab.small_at(row, block);
    for_small_pieces(fields, [&](std::size_t at, std::size_t bytes) {
      std::uint8_t* piece = small_to + kPlaneRows * at;
      if (bytes == 4) return interleave_small<4>(small + at, stride, piece);
      if (bytes == 2) return interleave_small<2>(small + at, stride, piece);
      interleave_small<1>(small + at, stride, piece);
    });
  }
};

}  // namespace

const device::Repacker& plane_repacker() noexcept {
  static const PlaneRepacker repacker;
  return repacker;
}

void blocks_from_planes(const device::Matrix& w, std::uint32_t row, std::uint32_t first, std::uint32_t n,
                        std::byte* to) noexcept {
  const BlockFields fields(w.type);
  const Slab slab(fields, w.in, w.out, row);
  const auto* from = static_cast<const std::byte*>(w.data);
  const std::size_t lane = row % kPlaneRows;
  for (std::size_t block = first; block < std::size_t{first} + n; ++block, to += fields.bytes) {
    for (std::size_t field = 0; field < fields.fields(); ++field) {
      const std::byte* words = from + slab.field_at(row, block, field) + 4 * lane;
      std::byte* field_to = to + fields.fields_at + field * kFieldBytes;
      for (std::size_t word = 0; word < 4; ++word) std::memcpy(field_to + 4 * word, words + 64 * word, 4);
    }
    const std::byte* small = from + slab.small_at(row, block);
    for_small_pieces(fields, [&](std::size_t at, std::size_t bytes) {
      std::memcpy(to + fields.small_at() + at, small + kPlaneRows * at + bytes * lane, bytes);
    });
  }
}

}  // namespace tandem::cpu
