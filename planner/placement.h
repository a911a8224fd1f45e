#pragma once

#include <cstdint>
#include <vector>

#include "planner/plan.h"

namespace tandem::planner {

/// Which device every unit is on.
struct Placement {
  std::vector<Device> attention;  ///< (layers)
  std::vector<Device> ffn;        ///< (layers)
  Device head = Device::cpu;

  /// Everything on `device`.
  static Placement all_on(Device device, std::size_t layers);

  [[nodiscard]] Device device_of(UnitRef unit) const noexcept;
  void move(UnitRef unit, Device device) noexcept;

  bool operator==(const Placement&) const = default;
};

/// All units of a model in the order they run: attention 0, FFN 0, attention 1 ... the head.
std::vector<UnitRef> all_units(std::size_t layers);

/// Runs of units on one device, as long as they can be.
std::vector<StagePlan> stages_of(const Placement& placement);

/// How often rows pass from one device to the other: between stages, and before the first one where
/// `embedding_device` is not its device.
std::uint32_t crossings_of(const std::vector<StagePlan>& stages, Device embedding_device) noexcept;

/// What goes which way between the CPU and the GPU.
template <class Value>
struct Directions {
  Value to_gpu{};
  Value to_cpu{};

  bool operator==(const Directions&) const = default;
};

/// In which directions rows pass from the one device to the other, as `crossings_of` counts them.
Directions<bool> directions_of(const Placement& placement, Device embedding_device) noexcept;

}  // namespace tandem::planner
