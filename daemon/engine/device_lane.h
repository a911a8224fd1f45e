#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cpu/team.h"
#include "backends/device.h"
#include "daemon/engine/executor.h"
#include "daemon/engine/segment.h"
#include "memory/bind.h"

namespace tandem::engine {

/// One device's part of the work: the segments of a plan that lie on it.  They share the device's working
/// memory, so one thread runs them, one after another.
class DeviceLane {
 public:
  DeviceLane() = default;
  virtual ~DeviceLane() = default;
  DeviceLane(const DeviceLane&) = delete;
  DeviceLane& operator=(const DeviceLane&) = delete;

  /// Called once on the thread that `run` is called on, before it is.
  virtual void start() {}

  /// Computes `rows` in segment number `segment` of the plan, which is on this device, and commits their K
  /// and V.  Rows that cross lie in buffer `crossing` of either direction.  Throws std::runtime_error if the
  /// device fails.
  virtual void run(std::size_t segment, const Rows& rows, std::size_t crossing) = 0;
};

/// The lanes of `plan`, which outlives them; `pin` says whether each thread of the team gets a core of its
/// own.  They throw std::invalid_argument if the device cannot run a unit.
std::unique_ptr<DeviceLane> make_cpu_lane(const memory::BoundPlan& plan, const std::vector<Segment>& segments,
                                          cpu::Team& team, bool pin);
std::unique_ptr<DeviceLane> make_accelerator_lane(const memory::BoundPlan& plan,
                                                  const std::vector<Segment>& segments);

}  // namespace tandem::engine
