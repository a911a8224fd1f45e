#include "daemon/machine_choice.h"

#include <cstdio>
#include <optional>
#include <string>
#include <unistd.h>

#include <spdlog/spdlog.h>

#include "backends/cpu/affinity.h"
#include "daemon/calibration/calibrate.h"
#include "daemon/calibration/cpu_speed.h"
#include "daemon/open_accelerator.h"
#include "hardware/profile_cache.h"
#include "planner/errors.h"

namespace tandem::daemon {

namespace {

/// What was measured before.  A damaged profile counts as none where it can be measured again.
std::optional<planner::MachineProfile> known_machine(const hardware::Fingerprint& fingerprint,
                                                     bool may_measure) {
  try {
    const auto found = hardware::find_profile(fingerprint, hardware::cache_folders());
    if (!found) return std::nullopt;
    spdlog::info("machine: as measured in {}", found->path.string());
    return found->machine;
  } catch (const planner::BadProfile& error) {
    if (!may_measure) throw;
    spdlog::warn("machine: {}", error.what());
    return std::nullopt;
  }
}

/// What was measured just now, kept for later starts where that is possible.
planner::MachineProfile measure(const hardware::Fingerprint& fingerprint, const Config& config) {
  const auto effort = calibration::kShortEffort;
  spdlog::info("machine: never measured; this takes about {:.0f} s, once (--no-calibrate does without)",
               effort.limit_s);
  const auto profile = calibration::calibrate(
      effort, fingerprint, [](const std::string&, double) {}, gpu_to_measure(config));
  const auto path = hardware::profile_path(hardware::cache_folders().front(), fingerprint);
  try {
    hardware::write_profile(profile, path);
    spdlog::info("machine: measured, kept in {}; tandem calibrate does it more thoroughly", path.string());
  } catch (const planner::BadProfile&) {
    throw;
  } catch (const Error& error) {
    spdlog::warn("machine: measured for this start only: {}", error.what());
  }
  return planner::parse_machine(profile, path.string());
}

/// A start needs no measured machine: one that other work disturbs too much is measured at another time.
planner::MachineProfile measure_now(const hardware::Fingerprint& fingerprint, const Config& config) {
  try {
    return measure(fingerprint, config);
  } catch (const Error& error) {
    spdlog::warn("machine: could not be measured, the profile default stands in for it: {}", error.what());
    return planner::builtin_machine("default");
  }
}

/// A line on a terminal that is overwritten; lines elsewhere.
void show_progress(const std::string& what, double share) {
  const bool terminal = ::isatty(STDERR_FILENO) != 0;
  std::fprintf(stderr, terminal ? "\r\033[K%3.0f%% %s" : "%3.0f%% %s\n", share * 100, what.c_str());
  std::fflush(stderr);
}

}  // namespace

planner::MachineProfile choose_machine(const Config& config) {
  const auto fingerprint = hardware::this_machine(config.threads);
  if (const auto known = known_machine(fingerprint, config.calibrate)) return *known;
  if (!config.calibrate) return planner::builtin_machine("default");
  return measure_now(fingerprint, config);
}

std::uint32_t team_threads(const Config& config) {
  if (config.threads > 0) return config.threads;
  const cpu::Cores cores;
  const auto all = cores.count(), socket = cores.of_first_socket();
  if (socket == all) return all;
  try {
    const auto found = hardware::find_profile(hardware::this_machine(0), hardware::cache_folders());
    return found && found->machine.cpu_threads == socket ? socket : all;
  } catch (const planner::BadProfile&) {  // who plans with it says so
    return all;
  }
}

void print_calibration(const Config& config, bool quick) {
  const auto effort = quick ? calibration::kShortEffort : calibration::kFullEffort;
  const auto profile = calibration::calibrate(effort, hardware::this_machine(config.threads), show_progress,
                                              device_to_measure(config));
  if (::isatty(STDERR_FILENO) != 0) std::fprintf(stderr, "\r\033[K");
  std::fputs(profile.c_str(), stdout);
}

void print_memory_speed(std::uint32_t threads) {
  calibration::Pace pace(calibration::kFullEffort, [](const std::string&, double) {});
  const auto speed = calibration::measure_memory(pace, threads);
  std::printf("{\"threads\": %u, \"cores\": %u, \"gb_per_s\": %.2f}\n", speed.threads, cpu::Cores().count(),
              speed.gb_per_s);
}

}  // namespace tandem::daemon
