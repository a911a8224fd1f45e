#include "planner/unit_counts.h"

#include <algorithm>

namespace tandem::planner {

UnitKinds unit_kinds(const CaseCosts& costs) {
  UnitKinds found;
  for (std::size_t i = 0; i < costs.units(); ++i) {
    const auto& bytes = costs.space->units[i];
    const auto& unit_ps = costs.costs->unit_ps[i];
    auto kind = std::ranges::find_if(found.kinds, [&](const AlikeUnits& other) {
      return other.unit_ps == unit_ps && other.bytes.sort == bytes.sort &&
             other.bytes.vram_bytes == bytes.vram_bytes && other.bytes.ram_bytes == bytes.ram_bytes &&
             other.bytes.drafts_bytes == bytes.drafts_bytes;
    });
    if (kind == found.kinds.end()) kind = found.kinds.insert(kind, {bytes, unit_ps, 0});
    ++kind->units;
    found.of_unit.push_back(static_cast<std::uint32_t>(kind - found.kinds.begin()));
  }
  return found;
}

Spent spent_by(const CaseCosts& costs, const UnitKinds& kinds, const Counts& counts,
               Arrangement arrangement) {
  Spent spent;
  for (std::size_t k = 0; k < counts.size(); ++k) {
    const auto& kind = kinds.kinds[k];
    const auto on_gpu = std::uint64_t{counts[k]};
    const auto on_cpu = kind.units - on_gpu;
    spent.busy_ps[kOnCpu] += on_cpu * kind.unit_ps[kOnCpu];
    spent.busy_ps[kOnGpu] += on_gpu * kind.unit_ps[kOnGpu];
    spent.vram_bytes += on_gpu * kind.bytes.vram_bytes;
    spent.ram_bytes += on_cpu * kind.bytes.ram_bytes;
    spent.drafts_bytes += on_cpu * kind.bytes.drafts_bytes;
  }
  const auto head = costs.within->head;
  const auto stages = std::uint64_t{arrangement.changes} + 1;
  spent.busy_ps[head] += costs.costs->head_ps[head];
  spent.busy_ps[arrangement.first] += (stages + 1) / 2 * costs.costs->stage_ps[arrangement.first];
  spent.busy_ps[1 - arrangement.first] += stages / 2 * costs.costs->stage_ps[1 - arrangement.first];
  spent.busy_ps[kOnCpu] += costs.costs->always.cpu_ps;
  spent.busy_ps[kOnGpu] += costs.costs->always.gpu_ps;
  spent.travel_ps = costs.costs->always.crossing_ps + costs.travel_ps(CaseCosts::kStart, arrangement.first) +
                    arrangement.changes * costs.costs->crossing_ps;
  return spent;
}

}  // namespace tandem::planner
