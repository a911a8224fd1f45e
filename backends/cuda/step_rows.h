#pragma once

#include <cstdint>

namespace tandem::cuda {

/// Rows up to which a micro-batch goes through the kernels of a decode.
constexpr std::uint32_t kDecodeRows = 8;

/// Slot of a row that only fills up a row class.
constexpr std::uint32_t kNoSlot = 0xffffffff;

/// A row of a micro-batch and what it must know of its sequence (device.h, SequenceRows).
struct StepRow {
  std::uint64_t position = 0;
  std::uint64_t first_position = 0;  ///< of the sequence's first row in this micro-batch
  std::uint64_t first_key = 0;       ///< oldest position that exists
  std::uint32_t first_row = 0;       ///< the micro-batch's row at first_position
  std::uint32_t end_row = 0;         ///< the row after the sequence's last one
  std::uint32_t slot = 0;
  std::uint32_t pages = 0;          ///< where the sequence's page table begins in StepRows::pages
  std::uint32_t draft_rows = 0;     ///< of the sequence's rows, the last ones
  std::uint32_t accepted_rows = 0;  ///< of the sequence's last step
};

/// A micro-batch as kernels see it; both arrays lie where the device can read them.
struct StepRows {
  const StepRow* rows = nullptr;
  const std::uint32_t* pages = nullptr;
  std::uint32_t n_rows = 0;
  std::uint64_t context_tok = 0;  ///< class of the longest sequence; 0 = unknown
};

/// Shape classes, so that a few graphs serve every step: 1, 2, 4 or 8 rows, as far as `max_rows` goes (more
/// are classes of their own) and contexts of a power of two.
constexpr std::uint64_t kSmallestContext = 256;
std::uint32_t row_class(std::uint32_t rows, std::uint32_t max_rows) noexcept;
std::uint64_t context_class(std::uint64_t tokens) noexcept;

}  // namespace tandem::cuda
