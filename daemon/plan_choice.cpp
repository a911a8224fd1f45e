#include "daemon/plan_choice.h"

#include <algorithm>

#include "memory/available_ram.h"
#include "model/text_file.h"
#include "planner/errors.h"
#include "planner/make_plan.h"
#include "planner/plan_json.h"
#include "planner/reasons.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

planner::Plan read_plan(const std::filesystem::path& path) {
  try {
    return planner::parse_plan(model::read_text_file(path));
  } catch (const planner::BadPlan& error) {
    throw planner::BadPlan(path.string() + ": " + error.what(), error.hint());
  } catch (const Error& error) {
    throw BadConfig(std::string("plan ") + error.what());
  }
}

}  // namespace

planner::Budget cut_to_free(planner::Budget budget, const FreeMemory& free,
                            std::vector<std::string>& reasons) {
  if (budget.ram_bytes > free.ram_bytes) {
    reasons.push_back("RAM budget is " + planner::grouped(free.ram_bytes) +
                      " bytes, what is available now; " + planner::grouped(budget.ram_bytes) +
                      " were allowed");
    budget.ram_bytes = free.ram_bytes;
  }
  return budget;
}

planner::Plan choose_plan(const Config& config, const planner::ModelInput& model,
                          const std::function<planner::Devices()>& devices,
                          const std::function<planner::MachineProfile()>& machine) {
  if (config.plan) return read_plan(*config.plan);
  std::vector<std::string> reasons;
  const auto budget = cut_to_free(config.budget, {memory::available_ram_bytes()}, reasons);
  auto workload = config.workload;
  if (!config.context_set) workload.max_seq_len = planner::default_workload(model.hyper).max_seq_len;
  auto plan = planner::make_plan(model, budget, workload, machine(), devices());
  plan.reasons.insert(plan.reasons.begin(), reasons.begin(), reasons.end());
  plan.reasons.push_back(planner::times_line(machine()));
  return plan;
}

planner::Plan planned_again(const planner::Plan& plan, const planner::Budget& budget, const std::string& why,
                            const planner::ModelInput& model, const planner::MachineProfile& machine) {
  auto again = planner::make_plan(model, budget, plan.requested, machine, {planner::gpu_of(plan)});
  again.reasons.insert(again.reasons.begin(), "planned again: " + why);
  again.reasons.push_back(planner::times_line(machine));
  return again;
}

planner::Budget cut_to_vram(planner::Budget budget, const memory::VramAtStart& vram) noexcept {
  budget.vram_bytes = std::min(budget.vram_bytes, vram.free_bytes + vram.driver_bytes);
  return budget;
}

}  // namespace tandem::daemon
