#include "memory/high_water.h"

#include <algorithm>

#include "planner/activations.h"
#include "planner/plan_consistency.h"
#include "planner/streaming.h"

namespace tandem::memory {

using planner::Device;
using planner::Purpose;

HighWater::HighWater(const planner::Plan& plan, const model::Hyperparameters& hyper)
    : plan_(plan), hyper_(hyper), slot_end_(plan.workload.sequences) {}

void HighWater::note(const device::MicroBatch& batch, std::uint32_t logit_rows) noexcept {
  const std::lock_guard lock(mutex_);
  rows_ = std::max(rows_, batch.rows);
  logit_rows_ = std::max(logit_rows_, logit_rows);
  std::uint64_t table_pages = 0;
  std::uint32_t draft_rows = 0;
  for (std::uint32_t s = 0; s < batch.n_sequences; ++s) {
    const auto& sequence = batch.sequences[s];
    draft_rows += sequence.draft_rows;
    const auto end = sequence.first_position + sequence.rows;
    slot_end_[sequence.slot] = std::max(slot_end_[sequence.slot], end);
    const auto page_tok = plan_.kv_pages.page_tok;
    const auto pages = (end + page_tok - 1) / page_tok;
    if (sequence.pages == nullptr) continue;
    table_pages += pages;
    for (auto i = sequence.first_position / page_tok; i < pages; ++i) {
      pages_ = std::max<std::uint64_t>(pages_, std::uint64_t{sequence.pages[i]} + 1);
    }
  }
  table_pages_ = std::max(table_pages_, table_pages);
  draft_rows_ = std::max(draft_rows_, draft_rows);
}

void HighWater::note_streamed(std::uint32_t rows) noexcept {
  const std::lock_guard lock(mutex_);
  streamed_rows_ = std::max(streamed_rows_, rows);
}

std::uint64_t HighWater::bytes(const LedgerLine& line) const {
  const std::lock_guard lock(mutex_);
  switch (line.purpose) {
    case Purpose::kv:
      return kv_bytes(line.device);
    case Purpose::kv_staging:
      return kv_staging_bytes(line.device);
    case Purpose::activations:
      return activation_bytes(line.device);
    case Purpose::logits:
      return std::uint64_t{logit_rows_} * hyper_.vocab * sizeof(float);
    case Purpose::transfer:
      return transfer_bytes(line);
    default:
      return line.used_bytes;
  }
}

std::uint64_t HighWater::kv_bytes(Device device) const {
  std::uint64_t bytes = 0;
  for (const auto& layer : plan_.layers) {
    if (layer.kv_device != device) continue;
    std::uint64_t rows = 0;
    if (layer.kind == model::LayerKind::global) {
      rows = pages_ * plan_.kv_pages.page_tok;
    } else {
      for (const auto end : slot_end_) rows += std::min(end, layer.kv_cells);
    }
    bytes += rows * (layer.kv_bytes / layer.kv_cells);
  }
  return bytes;
}

/// A micro-batch that streams needs room for its FFN halves on the GPU too.
std::uint64_t HighWater::activation_bytes(Device device) const {
  if (rows_ == 0) return 0;
  auto units = planner::units_on(plan_, device);
  const auto bytes = planner::activation_layout(hyper_, units, rows_).total_bytes();
  if (device == Device::cpu || streamed_rows_ == 0) return bytes;
  for (const auto unit : planner::streamed_units(plan_.workload, planner::placement_of(plan_))) {
    units.push_back(unit);
  }
  return std::max(bytes, planner::activation_layout(hyper_, units, streamed_rows_).total_bytes());
}

std::uint64_t HighWater::kv_staging_bytes(Device device) const {
  std::uint64_t largest_row_bytes = 0;
  std::uint64_t token_bytes = 0;
  for (const auto& layer : plan_.layers) {
    if (layer.kv_device != device) continue;
    largest_row_bytes = std::max(largest_row_bytes, layer.kv_bytes / layer.kv_cells);
    token_bytes += layer.kv_bytes / layer.kv_cells;
  }
  return draft_rows_ * token_bytes + rows_ * largest_row_bytes;
}

/// Rows cross in buffers of micro_batch rows; the rest are step buffers, what tokens are chosen in and what
/// weights are loaded through, and on a GPU what they are streamed through.
std::uint64_t HighWater::transfer_bytes(const LedgerLine& line) const {
  const auto step_bytes = planner::step_buffer_bytes(plan_.workload.micro_batch, plan_.kv_pages.pages);
  const auto used_step_bytes = rows_ == 0 ? 0 : planner::step_buffer_bytes(rows_, table_pages_);
  const bool chooses = plan_.head.device != Device::cpu;
  const auto choice_bytes = chooses ? planner::logit_rows(plan_.workload) * planner::kChoiceBytes : 0;
  const auto used_bytes = used_step_bytes + (chooses ? logit_rows_ * planner::kChoiceBytes : 0);
  const auto stream_bytes = streamed_rows_ == 0 ? 0 : line.planned_bytes - step_bytes - choice_bytes;
  if (line.device != Device::cpu) return used_bytes + stream_bytes;
  const auto crossing_bytes = line.planned_bytes - planner::kLoadBufferBytes - step_bytes - choice_bytes;
  return planner::kLoadBufferBytes + used_bytes + crossing_bytes / plan_.workload.micro_batch * rows_;
}

}  // namespace tandem::memory
