#include "planner/placement.h"

namespace tandem::planner {

Placement Placement::all_on(Device device, std::size_t layers) {
  return {std::vector<Device>(layers, device), std::vector<Device>(layers, device), device};
}

Device Placement::device_of(UnitRef unit) const noexcept {
  switch (unit.kind) {
    case UnitKind::attention:
      return attention[unit.layer];
    case UnitKind::ffn:
      return ffn[unit.layer];
    case UnitKind::head:
      break;
  }
  return head;
}

void Placement::move(UnitRef unit, Device device) noexcept {
  switch (unit.kind) {
    case UnitKind::attention:
      attention[unit.layer] = device;
      return;
    case UnitKind::ffn:
      ffn[unit.layer] = device;
      return;
    case UnitKind::head:
      head = device;
      return;
  }
}

std::vector<UnitRef> all_units(std::size_t layers) {
  std::vector<UnitRef> units;
  units.reserve(2 * layers + 1);
  for (std::uint32_t layer = 0; layer < layers; ++layer) {
    units.push_back({UnitKind::attention, layer});
    units.push_back({UnitKind::ffn, layer});
  }
  units.push_back({UnitKind::head, 0});
  return units;
}

std::vector<StagePlan> stages_of(const Placement& placement) {
  std::vector<StagePlan> stages;
  for (const auto unit : all_units(placement.attention.size())) {
    const auto device = placement.device_of(unit);
    if (stages.empty() || stages.back().device != device) stages.push_back({device, {}});
    stages.back().units.push_back(unit);
  }
  return stages;
}

std::uint32_t crossings_of(const std::vector<StagePlan>& stages, Device embedding_device) noexcept {
  const auto between = static_cast<std::uint32_t>(stages.size()) - 1;
  return between + (stages.front().device == embedding_device ? 0 : 1);
}

Directions<bool> directions_of(const Placement& placement, Device embedding_device) noexcept {
  Directions<bool> directions;
  auto at = embedding_device;
  const auto go = [&](Device next) {
    if (next != at) (next == Device::cpu ? directions.to_cpu : directions.to_gpu) = true;
    at = next;
  };
  for (std::size_t i = 0; i < placement.ffn.size(); ++i) {
    go(placement.attention[i]);
    go(placement.ffn[i]);
  }
  go(placement.head);
  return directions;
}

}  // namespace tandem::planner
