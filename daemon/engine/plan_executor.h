#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backends/cpu/team.h"
#include "daemon/engine/device_lane.h"
#include "daemon/engine/executor.h"
#include "daemon/engine/segment.h"
#include "daemon/scheduler/scheduler.h"
#include "memory/bind.h"
#include "planner/plan.h"

namespace tandem::engine {

/// How the CPU's stages run.
struct CpuOptions {
  unsigned threads = 0;  ///< 0 = one for each physical core the process may use
  bool pin = true;       ///< each thread to a core of its own
};

/// The stages of a bound plan, one after another.
class PlanExecutor final : public Executor {
 public:
  /// `plan` outlives the object.  Throws std::invalid_argument if a device cannot run a unit.
  PlanExecutor(const memory::BoundPlan& plan, const CpuOptions& options);

  [[nodiscard]] std::uint32_t vocab() const noexcept override;
  void start() override;
  BytesRead run(const Rows& rows) override;
  [[nodiscard]] std::span<float> logits(std::uint32_t i) noexcept override;

 private:
  const memory::BoundPlan& plan_;
  const bool pin_;
  cpu::Team team_;
  std::vector<Segment> segments_;
  std::unique_ptr<DeviceLane> cpu_;
  std::unique_ptr<DeviceLane> accelerator_;  ///< null in plans of the CPU alone
};

/// What one micro-batch of `rows` reads by `plan`.
BytesRead bytes_read(const planner::Plan& plan, const Rows& rows) noexcept;

/// What the scheduler may do by `plan`; at most `max_queued` requests wait.
scheduler::Limits limits_of(const planner::Plan& plan, std::uint32_t max_queued) noexcept;

}  // namespace tandem::engine
