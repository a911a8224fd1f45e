#include "backends/cpu/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>

#include <climits>

#include "hardware/control_groups.h"

namespace tandem::cpu {
namespace {

namespace fs = std::filesystem;

/// Microseconds of CPU time in a period, as whole CPUs.
unsigned cpus(double quota_us, double period_us) {
  if (!(quota_us > 0) || !(period_us > 0)) return UINT_MAX;  // version 1 writes -1 for no quota
  return static_cast<unsigned>(std::min(std::ceil(quota_us / period_us), double{UINT_MAX}));
}

unsigned quota_of_group(const fs::path& group) {
  double quota_us = 0;
  double period_us = 0;
  std::ifstream version2(group / "cpu.max");  // "QUOTA PERIOD", or "max PERIOD"
  if (version2 >> quota_us >> period_us) return cpus(quota_us, period_us);
  std::ifstream quota_file(group / "cpu.cfs_quota_us");
  std::ifstream period_file(group / "cpu.cfs_period_us");
  if (quota_file >> quota_us && period_file >> period_us) return cpus(quota_us, period_us);
  return UINT_MAX;
}

}  // namespace

unsigned cpu_quota(const fs::path& root) {
  auto least = UINT_MAX;
  for (const auto& group : hardware::control_groups("cpu", root)) {
    least = std::min(least, quota_of_group(group));
  }
  return least;
}

}  // namespace tandem::cpu
