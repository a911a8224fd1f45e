#include "daemon/engine/segment.h"

#include "planner/plan_consistency.h"
#include "planner/streaming.h"

namespace tandem::engine {

namespace {

std::vector<Segment> segments_through(const std::vector<planner::StagePlan>& stages,
                                      planner::Device embedding) {
  std::vector<Segment> segments{{.device = embedding, .embeds = true, .units = {}}};
  for (const auto& stage : stages) {
    if (stage.device != segments.back().device) segments.push_back({.device = stage.device, .units = {}});
    for (const auto unit : stage.units) {
      if (unit.kind != planner::UnitKind::head) segments.back().units.push_back(unit);
    }
  }
  segments.back().ends = true;
  return segments;
}

}  // namespace

std::vector<Segment> segments_of(const planner::Plan& plan) {
  return segments_through(plan.stages, plan.embedding.device);
}

std::vector<Segment> streamed_segments_of(const planner::Plan& plan) {
  const auto placement = planner::placement_of(plan);
  if (planner::streamed_units(plan.workload, placement).empty()) return {};
  return segments_through(planner::stages_of(planner::computed_at(plan.workload, placement)),
                          plan.embedding.device);
}

}  // namespace tandem::engine
