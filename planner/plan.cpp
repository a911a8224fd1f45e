#include "planner/plan.h"

#include <algorithm>

#include "planner/names.h"

namespace tandem::planner {

std::uint64_t Plan::arena_bytes(Device device, Purpose purpose) const noexcept {
  for (const auto& arena : arenas) {
    if (arena.device == device && arena.purpose == purpose) return arena.bytes;
  }
  return 0;
}

std::optional<Device> gpu_of(const Plan& plan) noexcept {
  const auto on_gpu = [](const StagePlan& stage) { return stage.device != Device::cpu; };
  const auto found = std::ranges::find_if(plan.stages, on_gpu);
  if (found == plan.stages.end()) return std::nullopt;
  return found->device;
}

std::vector<UnitRef> units_on(const Plan& plan, Device device) {
  std::vector<UnitRef> units;
  for (const auto& stage : plan.stages) {
    if (stage.device == device) units.insert(units.end(), stage.units.begin(), stage.units.end());
  }
  return units;
}

std::string_view to_string(Device device) noexcept {
  return name_of(kDeviceNames, device);
}
std::string_view to_string(Purpose purpose) noexcept {
  return name_of(kPurposeNames, purpose);
}
std::string_view to_string(KvType type) noexcept {
  return name_of(kKvTypeNames, type);
}
std::string_view to_string(KvLayout layout) noexcept {
  return name_of(kKvLayoutNames, layout);
}
std::string_view to_string(UnitKind kind) noexcept {
  return name_of(kUnitKindNames, kind);
}
std::string_view to_string(Optimise optimise) noexcept {
  return name_of(kOptimiseNames, optimise);
}
std::string_view to_string(HeadType type) noexcept {
  return name_of(kHeadTypeNames, type);
}
std::string_view to_string(CpuWeights weights) noexcept {
  return name_of(kCpuWeightsNames, weights);
}
std::string_view to_string(model::LayerKind kind) noexcept {
  return name_of(kLayerKindNames, kind);
}

}  // namespace tandem::planner
