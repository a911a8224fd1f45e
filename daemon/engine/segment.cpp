#include "daemon/engine/segment.h"

namespace tandem::engine {

std::vector<Segment> segments_of(const planner::Plan& plan) {
  std::vector<Segment> segments{{.device = plan.embedding.device, .embeds = true, .units = {}}};
  for (const auto& stage : plan.stages) {
    if (stage.device != segments.back().device) segments.push_back({.device = stage.device, .units = {}});
    for (const auto unit : stage.units) {
      if (unit.kind != planner::UnitKind::head) segments.back().units.push_back(unit);
    }
  }
  segments.back().ends = true;
  return segments;
}

}  // namespace tandem::engine
