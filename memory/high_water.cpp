#include "memory/high_water.h"

#include <algorithm>

#include "planner/activations.h"
#include "planner/plan_consistency.h"
#include "planner/streaming.h"

namespace tandem::memory {

using planner::Device;
using planner::Purpose;

HighWater::HighWater(const planner::Plan& plan, const planner::ModelInput& model)
    : plan_(plan), model_(model), slot_end_(plan.workload.sequences) {}

void HighWater::note(const device::MicroBatch& batch, const WantedRows& wanted, bool streamed) noexcept {
  const std::lock_guard lock(mutex_);
  auto& rows = streamed ? streamed_rows_ : in_place_rows_;
  rows = std::max(rows, batch.rows);
  wanted_ = {std::max(wanted_.all, wanted.all), std::max(wanted_.whole, wanted.whole),
             std::max(wanted_.best, wanted.best), std::max(wanted_.edits, wanted.edits)};
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

void HighWater::note_masks(std::uint32_t slot) noexcept {
  const std::lock_guard lock(mutex_);
  mask_slots_ = std::max(mask_slots_, slot + 1);
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
      return logit_bytes(line.device);
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

/// A micro-batch that streams needs no room for its FFN halves on the CPU, but on the GPU.
std::uint64_t HighWater::activation_bytes(Device device) const {
  if (rows() == 0) return 0;
  const auto bytes_of = [&](const std::vector<planner::UnitRef>& units, planner::RowCounts counts) {
    return planner::activation_layout(model_, units, device, counts).total_bytes();
  };
  auto units = planner::units_on(plan_, device);
  if (device == Device::cpu) return bytes_of(units, {rows(), in_place_rows_, wanted_.all});
  const auto bytes = bytes_of(units, {rows(), rows(), wanted_.all});
  if (streamed_rows_ == 0) return bytes;
  for (const auto unit : planner::streamed_units(plan_)) units.push_back(unit);
  return std::max(bytes, bytes_of(units, {streamed_rows_, streamed_rows_, wanted_.all}));
}

std::uint64_t HighWater::kv_staging_bytes(Device device) const {
  std::uint64_t largest_row_bytes = 0;
  std::uint64_t token_bytes = 0;
  for (const auto& layer : plan_.layers) {
    if (layer.kv_device != device) continue;
    largest_row_bytes = std::max(largest_row_bytes, layer.kv_bytes / layer.kv_cells);
    token_bytes += layer.kv_bytes / layer.kv_cells;
  }
  return draft_rows_ * token_bytes + rows() * largest_row_bytes;
}

/// All rows on a device that computes them; where the CPU does not, only those that come whole.  There are
/// the masks too.
std::uint64_t HighWater::logit_bytes(Device device) const {
  const auto rows = device == plan_.head.device ? wanted_.all : wanted_.whole;
  const auto bytes = std::uint64_t{rows} * model_.hyper.vocab * sizeof(float);
  if (device != Device::cpu) return bytes;
  return bytes + mask_slots_ * planner::answer_mask_bytes(model_.hyper.vocab);
}

/// Rows that cross, step buffers, what tokens are chosen in and what weights are loaded through, and on a GPU
/// what they are streamed through.
std::uint64_t HighWater::transfer_bytes(const LedgerLine& line) const {
  const auto most = planner::most_step_counts(plan_);
  const auto used =
      planner::StepCounts{rows(), most.embedded_rows == 0 ? 0 : rows(),
                          most.logit_rows == 0 ? 0 : wanted_.all, most.pages == 0 ? 0 : table_pages_};
  const std::uint64_t choices = most.logit_rows == 0 ? 0 : planner::choice_rows(plan_.workload);
  const auto step_bytes =
      planner::step_buffer_bytes(most) + planner::choice_bytes(choices, choices * planner::kMostEdits);
  const auto used_bytes =
      planner::step_buffer_bytes(used) + planner::choice_bytes(wanted_.best, wanted_.edits);
  if (line.device != Device::cpu) {
    return used_bytes + (streamed_rows_ == 0 ? 0 : line.planned_bytes - step_bytes);
  }
  const auto crossing = planner::crossing_rows(plan_.workload, planner::placement_of(plan_),
                                               plan_.embedding.device, in_place_rows_, streamed_rows_);
  const auto rows_each = std::uint64_t{crossing.to_gpu} + crossing.to_cpu;
  return planner::load_buffer_bytes(plan_, model_) + used_bytes +
         2 * rows_each * model_.hyper.width * sizeof(float);
}

}  // namespace tandem::memory
