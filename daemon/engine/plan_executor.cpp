#include "daemon/engine/plan_executor.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "backends/cpu/stage.h"
#include "planner/activations.h"

namespace tandem::engine {

PlanExecutor::PlanExecutor(const memory::BoundPlan& plan, const CpuOptions& options)
    : plan_(plan), pin_(options.pin), team_(options.threads) {
  for (const auto& stage : plan.stages()) {
    stages_.push_back(cpu::make_stage(stage.units, plan.shape(), plan.scratch(), team_));
  }
  head_ = cpu::make_head_stage(plan.embedding(), plan.head(), plan.shape(), plan.scratch(), team_);
}

void PlanExecutor::start() {
  if (pin_) spdlog::info("cpu: {}", team_.pin());
}

std::uint32_t PlanExecutor::vocab() const noexcept {
  return plan_.hyper().vocab;
}

BytesRead PlanExecutor::run(const Rows& rows) {
  const auto n_rows = static_cast<std::uint32_t>(rows.tokens.size());
  const device::MicroBatch batch{rows.sequences.data(), static_cast<std::uint32_t>(rows.sequences.size()),
                                 n_rows};
  float* x = plan_.residual().data();
  head_->embed(rows.tokens.data(), n_rows, x);
  for (const auto& stage : stages_) stage->step(batch, x);
  if (!rows.wanted.empty()) {
    head_->logits(x, rows.wanted.data(), static_cast<std::uint32_t>(rows.wanted.size()),
                  plan_.logits().data());
  }
  return bytes_read(plan_.plan(), rows);
}

std::span<float> PlanExecutor::logits(std::uint32_t i) noexcept {
  return plan_.logits().subspan(std::size_t{i} * vocab(), vocab());
}

namespace {

/// KV rows that at least one row of `sequence` sees; of a ring, those before the chunk are all but the
/// oldest, which the first row itself takes the place of.
std::uint64_t visible_rows(const planner::LayerPlan& layer, const device::SequenceRows& sequence) noexcept {
  const bool sliding = layer.kind == model::LayerKind::sliding;
  const auto before =
      sliding ? std::min(sequence.first_position, layer.kv_cells - 1) : sequence.first_position;
  return before + sequence.rows;
}

}  // namespace

BytesRead bytes_read(const planner::Plan& plan, const Rows& rows) noexcept {
  BytesRead bytes;
  for (const auto& layer : plan.layers) {
    const auto row_bytes = layer.kv_bytes / layer.kv_cells;
    bytes.weights += layer.weight_bytes;
    for (const auto& sequence : rows.sequences) {
      bytes.kv += visible_rows(layer, sequence) * row_bytes;
    }
  }
  if (!rows.wanted.empty()) bytes.weights += plan.head.bytes;
  return bytes;
}

scheduler::Limits limits_of(const planner::Plan& plan, std::uint32_t max_queued) noexcept {
  return {.sequences = plan.workload.sequences,
          .micro_batch = plan.workload.micro_batch,
          .logit_rows = planner::logit_rows(plan.workload),
          .max_seq_len = plan.workload.max_seq_len,
          .page_tok = plan.kv_pages.page_tok,
          .pages = plan.kv_pages.pages,
          .max_queued = max_queued};
}

}  // namespace tandem::engine
