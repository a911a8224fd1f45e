#include "daemon/start.h"

#include <optional>
#include <utility>

#include "daemon/machine_choice.h"
#include "daemon/open_accelerator.h"
#include "daemon/plan_choice.h"
#include "memory/available_ram.h"

namespace tandem::daemon {

Start choose_start(const Config& config, const planner::ModelInput& model) {
  std::optional<planner::MachineProfile> known;
  const auto machine = [&] {
    if (!known) known = choose_machine(config);
    return *known;
  };
  Start start;
  start.plan = fitting(choose_plan(
      config, model, [&config] { return usable_devices(config); }, machine));
  start.accelerator = open_accelerator(config, start.plan);
  if (start.accelerator != nullptr) start = measured_start(std::move(start), config, model, machine);
  if (config.plan) check_ram(start.plan, {memory::available_ram_bytes()});
  return start;
}

}  // namespace tandem::daemon
