#include "daemon/start.h"

#include <optional>
#include <string>
#include <utility>

#include <spdlog/spdlog.h>

#include "daemon/machine_choice.h"
#include "daemon/open_accelerator.h"
#include "daemon/plan_choice.h"
#include "memory/vram_at_start.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

using planner::grouped;

void log_plan(const planner::Plan& plan) {
  spdlog::info("plan: {} bytes of RAM, {} bytes of VRAM, {} sequences of {} tokens, KV {}",
               grouped(plan.ram_bytes), grouped(plan.vram_bytes), plan.workload.sequences,
               plan.workload.max_seq_len, planner::to_string(plan.workload.kv_type));
  for (const auto& reason : plan.reasons) spdlog::info("plan: {}", reason);
}

planner::Plan fitting(planner::Plan plan) {
  log_plan(plan);
  if (plan.fits) return plan;
  throw DoesNotFit("the plan does not fit: " + grouped(plan.ram_short_bytes) + " bytes of RAM and " +
                       grouped(plan.vram_short_bytes) + " bytes of VRAM are missing",
                   plan.largest_context
                       ? "the largest context that fits is " + std::to_string(*plan.largest_context)
                       : "no context fits");
}

/// What is there for `plan` on its GPU, which was just opened.
memory::VramAtStart look_at(const planner::Plan& plan, const device::Accelerator& accelerator) {
  const auto vram = memory::vram_at_start(plan, accelerator.memory());
  spdlog::info("{}: {} bytes are free, the plan takes {}; the driver took {}, planned are {}",
               planner::to_string(*planner::gpu_of(plan)), grouped(vram.free_bytes),
               grouped(vram.needed_bytes), grouped(vram.driver_bytes), grouped(vram.driver_planned_bytes));
  return vram;
}

}  // namespace

Start choose_start(const Config& config, const planner::ModelInput& model) {
  std::optional<planner::MachineProfile> known;
  const auto machine = [&] {
    if (!known) known = choose_machine(config);
    return *known;
  };
  auto plan = fitting(choose_plan(
      config, model, [&config] { return usable_devices(config); }, machine));
  auto accelerator = open_accelerator(config, plan);
  if (accelerator == nullptr) return {std::move(plan), nullptr};

  auto vram = look_at(plan, *accelerator);
  const bool assumed = !config.plan && vram.driver_planned_bytes != 0 && vram.driver_bytes != 0;
  if (assumed && vram.driver_bytes != vram.driver_planned_bytes) {
    const auto why = "the driver takes " + grouped(vram.driver_bytes) + " bytes, as measured now";
    plan = fitting(planned_again(plan, vram, why, model, machine()));
    vram = look_at(plan, *accelerator);
  }
  if (vram.enough()) return {std::move(plan), std::move(accelerator)};
  if (!config.replan) {
    throw DoesNotFit(vram.shortage(), "allow less with --vram, or set less_vram to \"replan\"");
  }
  spdlog::warn("{}: planned again, as less_vram says", vram.shortage());
  plan = fitting(planned_again(plan, vram, vram.shortage(), model, machine()));
  if (!planner::gpu_of(plan)) accelerator.reset();
  return {std::move(plan), std::move(accelerator)};
}

}  // namespace tandem::daemon
