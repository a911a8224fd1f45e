#include "daemon/engine/plan_executor.h"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "planner/streaming.h"

namespace tandem::engine {

PlanExecutor::PlanExecutor(const memory::BoundPlan& plan, const CpuOptions& options)
    : plan_(plan),
      most_(planner::most_rows(plan.plan(), planner::Device::cpu)),
      high_water_(plan.plan(), plan.model()),
      team_(options.threads),
      segments_(segments_of(plan.plan())) {
  in_place_ = {0, segments_.size()};
  for (auto& segment : streamed_segments_of(plan.plan())) segments_.push_back(std::move(segment));
  streamed_ = {in_place_.end, segments_.size()};
  cpu_ = make_cpu_lane(plan, segments_, team_, options.pin);
  if (plan.accelerator() != nullptr) accelerator_ = make_accelerator_lane(plan, segments_);
  std::vector<DeviceLane*> lanes;
  for (const auto& segment : segments_) {
    lanes.push_back((segment.device == planner::Device::cpu ? cpu_ : accelerator_).get());
  }
  if (lanes.size() > 1) pipeline_ = std::make_unique<Pipeline>(lanes);
  only_ = lanes.front();
  reduced_at_.reserve(planner::logit_rows(plan.plan().workload));
}

void PlanExecutor::start() {
  if (!pipeline_) only_->start();
}

std::uint32_t PlanExecutor::vocab() const noexcept {
  return plan_.hyper().vocab;
}

namespace {

memory::WantedRows wanted_of(const Rows& rows) noexcept {
  const auto all = static_cast<std::uint32_t>(rows.wanted.size());
  if (rows.best.empty()) return {all, all, 0, 0};
  memory::WantedRows wanted{all, 0, 0, static_cast<std::uint32_t>(rows.edits.size())};
  for (std::uint32_t i = 0; i < all; ++i) {
    if (rows.best[i] == 0) wanted.whole = i + 1;
    wanted.best += rows.best[i] == 0 ? 0 : 1;
  }
  return wanted;
}

}  // namespace

void PlanExecutor::begin(const Rows& rows) {
  if (rows.tokens.size() > (rows.streamed ? most_.rows : most_.ffn_rows)) {
    throw std::length_error(std::to_string(rows.tokens.size()) +
                            " rows are more than a step of this plan has");
  }
  high_water_.note(batch_of(rows), wanted_of(rows), rows.streamed);
  on_the_way_.push(&rows);
  if (pipeline_) pipeline_->begin(rows, rows.streamed ? streamed_ : in_place_);
}

BytesRead PlanExecutor::finish() {
  const auto& rows = *on_the_way_.pop();
  if (pipeline_) {
    pipeline_->finish();
  } else {
    only_->run(0, rows, 0);
  }
  reduced_at_.clear();
  std::uint32_t reduced = 0;
  for (const auto best : rows.best) reduced_at_.push_back(best == 0 ? reduced : reduced++);
  return bytes_read(plan_.plan(), rows);
}

std::span<float> PlanExecutor::logits(std::uint32_t i) noexcept {
  return plan_.logits().subspan(std::size_t{i} * vocab(), vocab());
}

std::vector<memory::LedgerLine> PlanExecutor::ledger() const {
  auto lines = plan_.ledger();
  for (auto& line : lines) line.high_water_bytes = high_water_.bytes(line);
  return lines;
}

std::span<std::byte> PlanExecutor::masks(std::uint32_t slot) noexcept {
  high_water_.note_masks(slot);
  return plan_.masks(slot);
}

bool PlanExecutor::reduces() const noexcept {
  return !plan_.choices().candidates.empty();
}

ReducedRow PlanExecutor::reduced(std::uint32_t i) noexcept {
  constexpr std::size_t kCandidates = device::kMostCandidates;
  const auto at = reduced_at_[i];
  return {plan_.choices().candidates.subspan(at * kCandidates, kCandidates), plan_.choices().unusable[at]};
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

scheduler::Limits limits_of(const planner::Plan& plan, std::uint32_t max_queued) {
  return {.sequences = plan.workload.sequences,
          .micro_batch = plan.workload.micro_batch,
          .logit_rows = planner::logit_rows(plan.workload),
          .max_seq_len = plan.workload.max_seq_len,
          .page_tok = plan.kv_pages.page_tok,
          .pages = plan.kv_pages.pages,
          .max_queued = max_queued,
          .steps = segments_of(plan).size() > 1 ? static_cast<std::uint32_t>(Pipeline::kDepth) : 1,
          .stream_rows = streamed_segments_of(plan).empty() ? 0 : plan.workload.stream_rows.value()};
}

}  // namespace tandem::engine
