#include "planner/batch_rows.h"

#include <algorithm>

namespace tandem::planner {
namespace {

/// Of a micro-batch in which no chunk has more than `most_chunk_rows`.
std::uint32_t rows_with_chunks(const Workload& workload, std::uint32_t most_chunk_rows) noexcept {
  const auto of_one = std::max<std::uint64_t>(most_chunk_rows, std::uint64_t{workload.draft_rows} + 1);
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(workload.micro_batch, workload.sequences * of_one));
}

}  // namespace

std::uint32_t chunk_rows(std::uint32_t micro_batch, std::uint32_t sequences) noexcept {
  constexpr std::uint32_t kTileRows = 32;  // matrix kernels work in such tiles
  const auto beside_decode = micro_batch - sequences + 1;
  return beside_decode < kTileRows ? beside_decode : beside_decode / kTileRows * kTileRows;
}

std::uint32_t longest_chunk_rows(const Workload& workload) noexcept {
  const auto rows = chunk_rows(workload.micro_batch, workload.sequences);
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(rows, workload.max_seq_len));
}

bool may_stream(const Workload& workload) noexcept {
  const auto rows = workload.stream_rows.value_or(0);
  return rows > 0 && rows <= longest_chunk_rows(workload);
}

RowCounts most_rows(const Workload& workload) noexcept {
  const auto rows = rows_with_chunks(workload, longest_chunk_rows(workload));
  return {rows, rows, logit_rows(workload)};
}

RowCounts most_rows_beside_streams(const Workload& workload) noexcept {
  auto counts = most_rows(workload);
  if (may_stream(workload)) counts.ffn_rows = rows_with_chunks(workload, *workload.stream_rows - 1);
  return counts;
}

std::uint32_t choice_rows(const Workload& workload) noexcept {
  return rows_with_chunks(workload, 1);
}

std::uint32_t logit_rows(const Workload& workload) noexcept {
  constexpr std::uint32_t kScoredTogether = 8;
  const auto rows = rows_with_chunks(workload, longest_chunk_rows(workload));
  return std::max(choice_rows(workload), std::min(rows, kScoredTogether));
}

}  // namespace tandem::planner
