#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "backends/cpu/team.h"
#include "daemon/engine/bounded_queue.h"
#include "daemon/engine/device_lane.h"
#include "daemon/engine/executor.h"
#include "daemon/engine/pipeline.h"
#include "daemon/engine/segment.h"
#include "daemon/scheduler/scheduler.h"
#include "memory/bind.h"
#include "memory/high_water.h"
#include "planner/batch_rows.h"
#include "planner/plan.h"

namespace tandem::engine {

/// How the CPU's stages run.
struct CpuOptions {
  unsigned threads = 0;  ///< 0 = one for each physical core the process may use
  bool pin = true;       ///< each thread to a core of its own
};

/// The stages of a bound plan: on the caller's thread where one device has all of them, else each device on a
/// thread of its own.
class PlanExecutor final : public Executor {
 public:
  /// `plan` outlives the object.  Throws std::invalid_argument if a device cannot run a unit.
  PlanExecutor(const memory::BoundPlan& plan, const CpuOptions& options);

  [[nodiscard]] std::uint32_t vocab() const noexcept override;
  void start() override;
  /// Throws std::length_error where there are more than a step of the scheduler ever has by the plan.
  void begin(const Rows& rows) override;
  BytesRead finish() override;
  [[nodiscard]] std::span<float> logits(std::uint32_t i) noexcept override;
  [[nodiscard]] std::span<std::byte> masks(std::uint32_t slot) noexcept override;
  [[nodiscard]] bool reduces() const noexcept override;
  [[nodiscard]] ReducedRow reduced(std::uint32_t i) noexcept override;

  /// The plan's, with what micro-batches have used so far; from any thread.
  [[nodiscard]] std::vector<memory::LedgerLine> ledger() const;

 private:
  const memory::BoundPlan& plan_;
  const planner::RowCounts most_;  ///< of the CPU, whose halves may get fewer rows
  memory::HighWater high_water_;
  cpu::Team team_;
  std::vector<Segment> segments_;  ///< of both ways
  Route in_place_;
  Route streamed_;  ///< empty where nothing is streamed
  std::unique_ptr<DeviceLane> cpu_;
  std::unique_ptr<DeviceLane> accelerator_;  ///< null in plans of the CPU alone
  DeviceLane* only_ = nullptr;               ///< the lane of a plan of one segment
  std::unique_ptr<Pipeline> pipeline_;       ///< of plans with more
  BoundedQueue<const Rows*, Pipeline::kDepth> on_the_way_;
  std::vector<std::uint32_t> reduced_at_;  ///< of the rows that came back last: where their candidates are
};

/// What one micro-batch of `rows` reads by `plan`.
BytesRead bytes_read(const planner::Plan& plan, const Rows& rows) noexcept;

/// What the scheduler may do by `plan`; at most `max_queued` requests wait.
scheduler::Limits limits_of(const planner::Plan& plan, std::uint32_t max_queued);

}  // namespace tandem::engine
