#include "backends/cuda/step_descriptor.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

namespace tandem::cuda {
namespace {

constexpr std::uint64_t kPartAlignment = 64;

std::uint64_t padded(std::uint64_t bytes) {
  return (bytes + kPartAlignment - 1) / kPartAlignment * kPartAlignment;
}

/// Entries of a sequence's page table that its rows need.
std::uint64_t pages_of(const device::SequenceRows& sequence, std::uint32_t page_tok) {
  if (page_tok == 0 || sequence.rows == 0) return 0;
  return (sequence.first_position + sequence.rows - 1) / page_tok + 1;
}

/// Padding attends to itself alone and is never committed.
StepRow padding_row(std::uint32_t row) {
  StepRow padding;
  padding.first_row = row;
  padding.end_row = row + 1;
  padding.slot = kNoSlot;
  return padding;
}

void write_rows(const device::SequenceRows& sequence, std::uint32_t first_page, StepRow* rows) {
  for (std::uint32_t r = 0; r < sequence.rows; ++r) {
    rows[sequence.first_row + r] = {sequence.first_position + r,
                                    sequence.first_position,
                                    sequence.first_key,
                                    sequence.first_row,
                                    sequence.first_row + sequence.rows,
                                    sequence.slot,
                                    first_page,
                                    sequence.draft_rows,
                                    sequence.accepted_rows};
  }
}

}  // namespace

std::uint32_t row_class(std::uint32_t rows, std::uint32_t max_rows) noexcept {
  if (rows > kDecodeRows) return rows;
  std::uint32_t larger = 1;
  while (larger < rows) larger *= 2;
  return std::max(rows, std::min(larger, max_rows));
}

std::uint64_t context_class(std::uint64_t tokens) noexcept {
  std::uint64_t larger = kSmallestContext;
  while (larger < tokens) larger *= 2;
  return larger;
}

StepDescriptor::StepDescriptor(const device::StepBuffers& buffers, std::uint32_t max_rows)
    : buffers_(buffers),
      max_rows_(max_rows),
      indices_at_(padded(buffers.embedded_rows * sizeof(std::uint32_t))),
      rows_at_(indices_at_ + padded(buffers.logit_rows * sizeof(std::uint32_t))),
      pages_at_(rows_at_ + padded(max_rows * sizeof(StepRow))) {
  if (pages_at_ <= buffers.bytes) return;
  throw std::runtime_error("CUDA step: " + std::to_string(max_rows) + " rows take " +
                           std::to_string(pages_at_) + " bytes, there are " + std::to_string(buffers.bytes));
}

NumberBuffers StepDescriptor::numbers_at(std::uint64_t at, std::uint32_t n) const {
  return {reinterpret_cast<std::uint32_t*>(buffers_.on_device + at),
          reinterpret_cast<std::uint32_t*>(buffers_.pinned + at), n};
}

NumberBuffers StepDescriptor::tokens() const {
  return numbers_at(0, buffers_.embedded_rows);
}
NumberBuffers StepDescriptor::indices() const {
  return numbers_at(indices_at_, buffers_.logit_rows);
}

StepRows StepDescriptor::empty() const {
  StepRows rows;
  rows.rows = reinterpret_cast<const StepRow*>(buffers_.on_device + rows_at_);
  rows.pages = reinterpret_cast<const std::uint32_t*>(buffers_.on_device + pages_at_);
  return rows;
}

StepRows StepDescriptor::write(const device::MicroBatch& batch, std::uint32_t page_tok,
                               Stream& stream) const {
  std::uint64_t n_pages = 0, tokens = 0;
  for (std::uint32_t s = 0; s < batch.n_sequences; ++s) {
    const device::SequenceRows& sequence = batch.sequences[s];
    n_pages += pages_of(sequence, page_tok);
    tokens = std::max(tokens, sequence.first_position + sequence.rows);
  }
  const std::uint64_t page_bytes = n_pages * sizeof(std::uint32_t);
  if (batch.rows > max_rows_ || page_bytes > buffers_.bytes - pages_at_) {
    throw std::runtime_error("CUDA step: " + std::to_string(batch.rows) + " rows and " +
                             std::to_string(n_pages) + " pages do not fit " + std::to_string(max_rows_) +
                             " rows and " + std::to_string(buffers_.bytes) + " bytes");
  }
  const std::uint32_t n_rows = row_class(batch.rows, max_rows_);
  auto* rows = reinterpret_cast<StepRow*>(buffers_.pinned + rows_at_);
  auto* pages = reinterpret_cast<std::uint32_t*>(buffers_.pinned + pages_at_);
  std::uint32_t first_page = 0;
  for (std::uint32_t s = 0; s < batch.n_sequences; ++s) {
    const device::SequenceRows& sequence = batch.sequences[s];
    write_rows(sequence, first_page, rows);
    const std::uint64_t n = pages_of(sequence, page_tok);
    if (n > 0) std::memcpy(pages + first_page, sequence.pages, n * sizeof *pages);
    first_page += static_cast<std::uint32_t>(n);
  }
  for (std::uint32_t r = batch.rows; r < n_rows; ++r) rows[r] = padding_row(r);
  stream.copy_to_device(buffers_.on_device + rows_at_, rows, n_rows * sizeof *rows);
  if (page_bytes > 0) stream.copy_to_device(buffers_.on_device + pages_at_, pages, page_bytes);
  StepRows written = empty();
  written.n_rows = batch.rows;
  written.context_tok = context_class(tokens);
  return written;
}

}  // namespace tandem::cuda
