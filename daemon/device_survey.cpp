#include "daemon/device_survey.h"

#include <cstdio>
#include <future>
#include <string>

#include <nlohmann/json.hpp>

#include "backends/cpu/affinity.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "backends/cuda/open_accelerator.h"
#include "daemon/machine_choice.h"
#include "hardware/fingerprint.h"
#include "hardware/profile_cache.h"
#include "memory/available_ram.h"
#include "planner/errors.h"

namespace tandem::daemon {

namespace {

using Json = nlohmann::ordered_json;

/// What binding a team like the daemon's comes to.  On a thread of its own, as that binds the caller too.
cpu::Pinning try_pinning(unsigned threads) {
  return std::async(std::launch::async, [threads] { return cpu::Team(threads).pin(); }).get();
}

Json cpu_json(const hardware::Fingerprint& machine, unsigned threads) {
  const auto pinning = try_pinning(threads);
  Json others = Json::array();
  for (const auto* const set : cpu::supported_kernel_sets()) {
    if (set != &cpu::best_kernel_set()) others.push_back(set->name);
  }
  return {{"name", machine.cpu},
          {"hardware_threads", machine.cpus},
          {"cores", pinning.cores},
          {"threads", pinning.threads},
          {"pinned_threads", pinning.pinned},
          {"numa_nodes", cpu::Cores().nodes_of_team(pinning.threads)},
          {"kernels", cpu::best_kernel_set().name},
          {"other_kernels", others},
          {"cache_bytes", machine.cache_bytes},
          {"available_ram_bytes", memory::available_ram_bytes()}};
}

Json gpus_json(const cuda::GpuSurvey& survey) {
  Json gpus = Json::array();
  for (const auto& gpu : survey.gpus) {
    gpus.push_back({{"device", "cuda" + std::to_string(gpus.size())},
                    {"name", gpu.name},
                    {"compute_capability", gpu.compute_capability},
                    {"multiprocessors", gpu.multiprocessors},
                    {"bytes", gpu.total_bytes},
                    {"cache_bytes", gpu.cache_bytes}});
  }
  return gpus;
}

/// Where the profile lies that was measured of it; null where none was, and a damaged one is as good as none.
Json profile_json(const hardware::Fingerprint& machine) {
  try {
    const auto found = hardware::find_profile(machine, hardware::cache_folders());
    return found ? Json(found->path.string()) : Json();
  } catch (const planner::BadProfile&) {
    return {};
  }
}

}  // namespace

void print_devices(const Config& config) {
  const auto machine = hardware::this_machine(config.threads);
  const auto survey = cuda::find_gpus();
  const Json json{{"cpu", cpu_json(machine, team_threads(config))},
                  {"gpus", gpus_json(survey)},
                  {"no_gpu_because", survey.gpus.empty() ? Json(survey.none_because) : Json()},
                  {"profile", profile_json(machine)}};
  const auto text = json.dump(2, ' ', false, Json::error_handler_t::replace);
  std::printf("%s\n", text.c_str());
}

}  // namespace tandem::daemon
