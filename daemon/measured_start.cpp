#include "daemon/measured_start.h"

#include <string>
#include <string_view>
#include <utility>

#include <spdlog/spdlog.h>

#include "memory/vram_at_start.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

using planner::grouped;

void log_plan(const planner::Plan& plan) {
  spdlog::info("plan: {} bytes of RAM, {} bytes of VRAM, {} sequences of {} tokens, KV {}",
               grouped(plan.ram_bytes), grouped(plan.vram_bytes), plan.workload.sequences,
               plan.workload.max_seq_len, planner::to_string(plan.workload.kv_type));
  constexpr std::string_view kWarning = "warning: ";
  for (const std::string_view reason : plan.reasons) {
    const bool warns = reason.starts_with(kWarning);
    spdlog::log(warns ? spdlog::level::warn : spdlog::level::info, "plan: {}",
                reason.substr(warns ? kWarning.size() : 0));
  }
}

/// What is there for a plan on its GPU.
memory::VramAtStart look_at(const Start& start) {
  const auto vram = memory::vram_at_start(start.plan, start.accelerator->memory());
  spdlog::info("{}: {} bytes are free, the plan takes {}; the driver took {}, planned are {}",
               planner::to_string(*planner::gpu_of(start.plan)), grouped(vram.free_bytes),
               grouped(vram.needed_bytes), grouped(vram.driver_bytes), grouped(vram.driver_planned_bytes));
  return vram;
}

}  // namespace

planner::Plan fitting(planner::Plan plan) {
  log_plan(plan);
  if (plan.fits) return plan;
  throw DoesNotFit("the plan does not fit: " + grouped(plan.ram_short_bytes) + " bytes of RAM and " +
                       grouped(plan.vram_short_bytes) + " bytes of VRAM are missing",
                   plan.largest_context
                       ? "the largest context that fits is " + std::to_string(*plan.largest_context)
                       : "no context fits");
}

void check_ram(const planner::Plan& plan, const FreeMemory& free) {
  if (plan.ram_bytes <= free.ram_bytes) return;
  throw DoesNotFit("the plan takes " + grouped(plan.ram_bytes) + " bytes of RAM, " + grouped(free.ram_bytes) +
                       " are available",
                   "plan with a smaller --ram, or without a kept plan");
}

Start measured_start(Start start, const Config& config, const planner::ModelInput& model,
                     const std::function<planner::MachineProfile()>& machine) {
  auto vram = look_at(start);
  const auto plan_again = [&](const planner::Budget& budget, const std::string& why) {
    auto measured = machine();
    measured.driver_bytes = vram.driver_bytes;
    start.plan = fitting(planned_again(start.plan, budget, why, model, measured));
    if (planner::gpu_of(start.plan)) {
      vram = look_at(start);
    } else {
      start.accelerator.reset();
    }
  };
  const bool assumed = !config.plan && vram.driver_planned_bytes != 0 && vram.driver_bytes != 0;
  if (assumed && vram.driver_bytes != vram.driver_planned_bytes) {
    plan_again(start.plan.budget,
               "the driver takes " + grouped(vram.driver_bytes) + " bytes, as measured now");
  }
  if (start.accelerator == nullptr || vram.enough()) return start;
  if (!config.replan) {
    throw DoesNotFit(vram.shortage(), "allow less with --vram, or set less_vram to \"replan\"");
  }
  spdlog::warn("{}: planned again, as less_vram says", vram.shortage());
  plan_again(cut_to_vram(start.plan.budget, vram), vram.shortage());
  return start;
}

}  // namespace tandem::daemon
