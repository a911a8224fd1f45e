#include "memory/available_ram.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "hardware/control_groups.h"
#include "model/checked.h"
#include "model/error.h"

namespace tandem::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kNoLimit = std::numeric_limits<std::uint64_t>::max();

/// File names of one version of control groups.
struct GroupFiles {
  std::array<std::string_view, 2> limits;  ///< empty: version 1 has one only
  std::string_view usage;
  std::array<std::string_view, 2> file_pages;  ///< keys in memory.stat
};
constexpr GroupFiles kVersion2{
    {"memory.max", "memory.high"}, "memory.current", {"inactive_file", "active_file"}};
constexpr GroupFiles kVersion1{
    {"memory.limit_in_bytes", {}}, "memory.usage_in_bytes", {"total_inactive_file", "total_active_file"}};

/// The number a one-line file holds; nothing where it is absent or says "max".
std::optional<std::uint64_t> read_number(const fs::path& path) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  if (!(file >> number)) return std::nullopt;
  return number;
}

/// The number after `key` in a file of "key number" lines.
std::optional<std::uint64_t> read_field(const fs::path& path, std::string_view key) {
  std::ifstream file(path);
  std::string word;
  std::uint64_t number = 0;
  for (std::string line; file >> word >> number; std::getline(file, line)) {
    if (word == key) return number;
  }
  return std::nullopt;
}

/// What `group` leaves, as the files of one version say.
std::uint64_t left_in_group(const fs::path& group, const GroupFiles& files) {
  auto limit = kNoLimit;
  for (const auto name : files.limits) {
    if (!name.empty()) limit = std::min(limit, read_number(group / name).value_or(kNoLimit));
  }
  const auto usage = read_number(group / files.usage);
  if (limit == kNoLimit || !usage) return kNoLimit;
  auto used = *usage;
  for (const auto key : files.file_pages) {
    used -= std::min(read_field(group / "memory.stat", key).value_or(0), used);
  }
  return limit - std::min(used, limit);
}

}  // namespace

std::uint64_t available_ram_bytes(const fs::path& root) {
  const auto meminfo = root / "proc/meminfo";
  const auto available_kib = read_field(meminfo, "MemAvailable:");
  const auto available_bytes = available_kib ? model::checked_mul(*available_kib, 1024) : std::nullopt;
  if (!available_bytes) {
    throw Error(meminfo.string() + ": no MemAvailable", "give the RAM budget with --ram");
  }
  auto left_bytes = *available_bytes;
  for (const auto& group : hardware::control_groups("memory", root)) {
    for (const auto& files : {kVersion1, kVersion2})
      left_bytes = std::min(left_bytes, left_in_group(group, files));
  }
  return left_bytes;
}

}  // namespace tandem::memory
