#include "hardware/control_groups.h"

#include <fstream>
#include <sstream>
#include <string>

namespace tandem::hardware {
namespace {

namespace fs = std::filesystem;

/// Adds `mount`, and below it every folder of `path`.
void add_groups(std::vector<fs::path>& groups, const fs::path& mount, const fs::path& path) {
  auto group = mount;
  groups.push_back(group);
  for (const auto& name : path.relative_path()) groups.push_back(group /= name);
}

bool is_in_list(std::string_view name, const std::string& list) {
  std::istringstream names(list);
  for (std::string one; std::getline(names, one, ',');) {
    if (one == name) return true;
  }
  return false;
}

}  // namespace

std::vector<fs::path> control_groups(std::string_view controller, const fs::path& root) {
  const auto mount = root / "sys/fs/cgroup";
  std::ifstream file(root / "proc/self/cgroup");  // lines are "ID:CONTROLLERS:PATH"; version 2 names none
  std::vector<fs::path> groups;
  for (std::string line; std::getline(file, line);) {
    const auto first = line.find(':');
    const auto second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const auto controllers = line.substr(first + 1, second - first - 1);
    const fs::path path = line.substr(second + 1);
    if (controllers.empty()) add_groups(groups, mount, path);
    if (is_in_list(controller, controllers)) add_groups(groups, mount / controller, path);
  }
  return groups;
}

}  // namespace tandem::hardware
