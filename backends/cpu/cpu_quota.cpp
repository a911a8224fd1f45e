#include "backends/cpu/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>

#include <climits>

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

/// The least of `path` and the groups above it; a group that is not there sets no limit, as inside a
/// container, where the mount shows the process's own group at its top.
unsigned quota_of_groups(const fs::path& mount, const fs::path& path) {
  auto group = mount;
  auto least = quota_of_group(group);
  for (const auto& name : path.relative_path()) {
    group /= name;
    least = std::min(least, quota_of_group(group));
  }
  return least;
}

}  // namespace

unsigned cpu_quota(const fs::path& root) {
  const auto mount = root / "sys/fs/cgroup";
  std::ifstream file(root / "proc/self/cgroup");  // lines are "ID:CONTROLLERS:PATH"; version 2 names none
  auto least = UINT_MAX;
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    if (controllers.empty()) least = std::min(least, quota_of_groups(mount, path));
    std::istringstream list(controllers);
    for (std::string name; std::getline(list, name, ',');) {
      if (name == "cpu") least = std::min(least, quota_of_groups(mount / name, path));
    }
  }
  return least;
}

}  // namespace tandem::cpu
