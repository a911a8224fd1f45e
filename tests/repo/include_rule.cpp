#include "tests/repo/include_rule.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <sstream>

namespace tandem::repo_test {
namespace {

using Rooms = std::set<std::string, std::less<>>;

/// The arrows of design.md: each room, and the rooms, or headers of some, it may include beside itself.
/// Folders named in a row stand for all that is in them; generated headers ("embedded") belong to whoever
/// asked for them.
const std::map<std::string, Rooms, std::less<>>& rules() {
  static const std::map<std::string, Rooms, std::less<>> kRules{
      {"model", {"embedded"}},
      {"planner", {"model", "embedded"}},
      {"hardware", {"model", "planner", "hardware/control_groups.h"}},
      {"hardware/control_groups.h", {}},
      {"backends/device.h", {}},
      {"backends/unit_checks.h", {"backends/device.h"}},
      {"backends/cpu", {"backends/device.h", "backends/unit_checks.h", "hardware/control_groups.h"}},
      {"backends/cuda", {"backends/device.h", "backends/unit_checks.h"}},
      {"memory", {"model", "planner", "backends/device.h", "hardware/control_groups.h"}},
      {"ipc", {"embedded", "model/ordered_json.h"}},
      {"daemon/scheduler", {"model", "planner"}},
      {"daemon/engine",
       {"model", "planner", "memory", "daemon/scheduler", "backends/device.h", "backends/cpu",
        "backends/cuda"}},
      {"daemon/calibration",
       {"model", "planner", "hardware", "memory", "backends/device.h", "backends/cpu", "backends/cuda"}},
      {"daemon",
       {"model", "planner", "hardware", "memory", "ipc", "daemon/scheduler", "daemon/engine",
        "daemon/calibration", "backends/device.h", "backends/cpu", "backends/cuda", "cli/manual",
        "embedded"}},
      {"cli/manual", {}},
      {"cli", {"model", "planner", "hardware", "ipc", "daemon/scheduler", "cli/manual", "embedded"}},
  };
  return kRules;
}

/// Folders that may look into every room.
bool is_workshop(std::string_view path) {
  return path.starts_with("tests/") || path.starts_with("bench/");
}

bool is_in(std::string_view path, std::string_view room) {
  return path == room || (path.starts_with(room) && path.substr(room.size()).starts_with('/'));
}

bool is_foreign_to_backends(std::string_view header) {
  constexpr std::array kFolders{"boost/", "nlohmann/", "spdlog/", "fmt/", "CLI/"};
  return std::ranges::any_of(kFolders, [header](const char* folder) { return header.starts_with(folder); });
}

/// `line` without blanks at its beginning.
std::string_view trimmed(std::string_view line) {
  const auto first = line.find_first_not_of(" \t");
  return first == std::string_view::npos ? std::string_view{} : line.substr(first);
}

/// What include directives of `source` name between `open` and `close`.
std::vector<std::string> includes_of(std::string_view source, char open, char close) {
  constexpr std::string_view kInclude = "include";
  std::vector<std::string> found;
  std::istringstream lines{std::string(source)};
  for (std::string line; std::getline(lines, line);) {
    auto rest = trimmed(line);
    if (!rest.starts_with('#')) continue;
    rest = trimmed(rest.substr(1));
    if (!rest.starts_with(kInclude)) continue;
    rest = trimmed(rest.substr(kInclude.size()));
    const auto end = rest.find(close, 1);
    if (rest.starts_with(open) && end != std::string_view::npos) found.emplace_back(rest.substr(1, end - 1));
  }
  return found;
}

std::vector<std::string> quoted_errors(std::string_view path, const std::string& room,
                                       std::string_view source) {
  std::vector<std::string> errors;
  for (const auto& header : includes_of(source, '"', '"')) {
    const auto other = header.starts_with("embedded/") ? "embedded" : room_of(header);
    const auto& allowed = rules().at(room);
    if (!other.empty() && (other == room || allowed.contains(other) || allowed.contains(header))) continue;
    errors.push_back(std::string(path) + " must not include " + header);
  }
  return errors;
}

}  // namespace

std::string room_of(std::string_view path) {
  std::string room;
  for (const auto& [name, others] : rules()) {
    if (is_in(path, name) && name.size() > room.size()) room = name;
  }
  return room;
}

std::vector<std::string> include_errors(std::string_view path, std::string_view source) {
  if (is_workshop(path)) return {};
  const auto room = room_of(path);
  if (room.empty()) return {std::string(path) + " is in no room"};
  auto errors = quoted_errors(path, room, source);
  if (!room.starts_with("backends") || is_in(path, "backends/cuda/emulation")) return errors;
  for (const auto& header : includes_of(source, '<', '>')) {
    if (is_foreign_to_backends(header)) errors.push_back(std::string(path) + " must not include " + header);
  }
  return errors;
}

std::vector<std::filesystem::path> source_files(const std::filesystem::path& root) {
  const std::set<std::string> kTypes{".h", ".cpp", ".cu", ".cuh"};
  std::vector<std::filesystem::path> files;
  for (auto entry = std::filesystem::recursive_directory_iterator(root);
       entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    const auto name = entry->path().filename().string();
    const bool is_top = entry.depth() == 0;
    if (entry->is_directory() && (name.starts_with('.') || (is_top && name.starts_with("build")))) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && kTypes.contains(entry->path().extension().string())) {
      files.push_back(std::filesystem::relative(entry->path(), root));
    }
  }
  std::ranges::sort(files);
  return files;
}

}  // namespace tandem::repo_test
