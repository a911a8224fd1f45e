#include "memory/high_water.h"

#include <algorithm>

#include "planner/activations.h"

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
  for (std::uint32_t s = 0; s < batch.n_sequences; ++s) {
    const auto& sequence = batch.sequences[s];
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
}

std::uint64_t HighWater::bytes(const LedgerLine& line) const {
  const std::lock_guard lock(mutex_);
  switch (line.purpose) {
    case Purpose::kv:
      return kv_bytes(line.device);
    case Purpose::kv_staging:
      return kv_staging_bytes(line.device);
    case Purpose::activations:
      if (rows_ == 0) return 0;
      return planner::activation_layout(hyper_, planner::units_on(plan_, line.device), rows_).total_bytes();
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

std::uint64_t HighWater::kv_staging_bytes(Device device) const {
  std::uint64_t row_bytes = 0;
  for (const auto& layer : plan_.layers) {
    if (layer.kv_device == device) row_bytes = std::max(row_bytes, layer.kv_bytes / layer.kv_cells);
  }
  return rows_ * row_bytes;
}

/// Rows cross in buffers of micro_batch rows; the rest are step buffers and what weights are loaded through.
std::uint64_t HighWater::transfer_bytes(const LedgerLine& line) const {
  const auto step_bytes = planner::step_buffer_bytes(plan_.workload.micro_batch, plan_.kv_pages.pages);
  const auto used_step_bytes = rows_ == 0 ? 0 : planner::step_buffer_bytes(rows_, table_pages_);
  if (line.device != Device::cpu) return used_step_bytes;
  const auto crossing_bytes = line.planned_bytes - planner::kLoadBufferBytes - step_bytes;
  return planner::kLoadBufferBytes + used_step_bytes + crossing_bytes / plan_.workload.micro_batch * rows_;
}

}  // namespace tandem::memory
