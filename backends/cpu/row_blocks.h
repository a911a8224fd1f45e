#pragma once

// Activation rows on their way to panels.  integer_multiply.h says what limits products of many rows and what
// lost, other numbers of rows at a time among it.

#include "backends/cpu/panel_row.h"

namespace tandem::cpu {
namespace {

/// Activation rows that are read together: they stay in the first-level cache while they meet all panels.
inline constexpr std::uint32_t kRowsAtATime = 24;

/// The rows of a product in blocks of at most kRowsAtATime, all of them at the columns of a panel before any
/// is at those of the next one.  While panels meet one block, the rows of the next are taken apart a few at a
/// time: their bytes come from beyond the second-level cache, and dot products go on beside the wait.
template <class Kind>
class RowBlocks {
 public:
  /// Begins with the first block of `x`, rows of `in` columns for weights whose quants have `offset` added.
  void begin(const Activations& x, int in, int offset) {
    x_ = &x;
    in_ = in;
    offset_ = offset;
    taken_ = {};
    asked_ = {};
    for (std::uint32_t i = 0; i < kAskedAhead; ++i) ask();
    begin_block();
    next();
  }

  /// Takes rows of the next block apart until there are `n`, or all of it.
  TANDEM_INLINE void prepare(std::uint32_t n) {
    for (const std::uint32_t wanted = n < next_.n ? n : next_.n; ready_ < wanted; ++ready_) {
      const RowSlice row(*x_, taken_.row, static_cast<std::uint32_t>(in_));
      rows_[1 - current_][ready_].fill(row, next_.column, next_.columns, offset_);
      taken_.advance(x_->n);
      ask();
    }
  }

  /// Goes on to the next block; false if there is none.
  bool next() {
    prepare(kRowsAtATime);
    block_ = next_;
    current_ = 1 - current_;
    begin_block();
    return block_.n > 0;
  }

  /// The block's rows: so many from `first` on, at these columns.
  const PanelRow<Kind>* rows() const { return rows_[current_]; }
  std::uint32_t count() const { return block_.n; }
  std::uint32_t first() const { return block_.first; }
  int column() const { return block_.column; }
  int columns() const { return block_.columns; }

 private:
  /// Rows whose bytes are asked for before they are taken apart.
  static constexpr std::uint32_t kAskedAhead = 4;

  struct Block {
    std::uint32_t first = 0, n = 0;
    int column = 0, columns = 0;
  };

  struct Position {
    std::uint32_t row = 0;
    int column = 0;

    TANDEM_INLINE void advance(std::uint32_t rows) {
      if (++row < rows) return;
      row = 0;
      column += kPanelColumns;
    }
  };

  void begin_block() {
    const int left = in_ - taken_.column;
    next_ = {taken_.row, 0, taken_.column, left < kPanelColumns ? left : kPanelColumns};
    if (left > 0) next_.n = x_->n - taken_.row < kRowsAtATime ? x_->n - taken_.row : kRowsAtATime;
    ready_ = 0;
  }

  /// Inlined, since a function that does no more than this is taken for one that does nothing.
  TANDEM_INLINE void ask() {
    if (asked_.column >= in_) return;
    const RowSlice row(*x_, asked_.row, static_cast<std::uint32_t>(in_));
#pragma GCC unroll 4
    for (int i = 0; i < kPanelColumns; i += 64) __builtin_prefetch(row.quants + asked_.column + i);
    __builtin_prefetch(row.scales + asked_.column / int{kActivationGroup});
    __builtin_prefetch(row.sums + asked_.column / 16);
    asked_.advance(x_->n);
  }

  const Activations* x_ = nullptr;
  int in_ = 0, offset_ = 0;
  int current_ = 0;  ///< of rows_, the block that panels meet; the other one is the next block
  Block block_, next_;
  std::uint32_t ready_ = 0;  ///< rows of the next block
  Position taken_, asked_;   ///< rows that come next
  PanelRow<Kind> rows_[2][kRowsAtATime];
};

}  // namespace
}  // namespace tandem::cpu
