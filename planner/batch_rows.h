#pragma once

#include <cstdint>

#include "planner/plan.h"

namespace tandem::planner {

// How many rows of what a micro-batch may have: a sequence has one piece of work in it, a chunk of its prompt
// or its newest token with drafts.

/// Rows of a prompt's chunk: what is left in a step beside every other sequence's decode row, in whole 32s if
/// it can.
std::uint32_t chunk_rows(std::uint32_t micro_batch, std::uint32_t sequences) noexcept;

/// Of the longest one: no prompt is longer than the context.
std::uint32_t longest_chunk_rows(const Workload& workload) noexcept;

/// Some chunk of a prompt may have stream_rows rows.
bool may_stream(const Workload& workload) noexcept;

/// The most rows of what a device is given at once.
struct RowCounts {
  std::uint32_t rows = 0;
  std::uint32_t ffn_rows = 0;    ///< that its FFN halves compute
  std::uint32_t logit_rows = 0;  ///< whose logits are wanted
};

RowCounts most_rows(const Workload& workload) noexcept;

/// Of a CPU whose FFN halves are streamed to a GPU: they see chunks of fewer than stream_rows rows only.
RowCounts most_rows_beside_streams(const Workload& workload) noexcept;

/// Rows from which tokens are chosen at once: every sequence's newest and its drafts; never more than a
/// micro-batch has.
std::uint32_t choice_rows(const Workload& workload) noexcept;

/// Rows of logits kept at once: every sequence's newest and its drafts, and at least 8 so that prompts can be
/// scored in groups; never more than a micro-batch has.
std::uint32_t logit_rows(const Workload& workload) noexcept;

}  // namespace tandem::planner
