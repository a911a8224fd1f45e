#include "hardware/caches.h"

#include <cstddef>
#include <fstream>
#include <optional>
#include <sched.h>
#include <string>

namespace tandem::hardware {
namespace {

constexpr std::size_t kLevels = 4;

std::size_t first_usable_cpu() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return 0;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &cpus)) return cpu;
  }
  return 0;
}

template <typename Value>
std::optional<Value> value_in(const std::filesystem::path& file) {
  std::ifstream in(file);
  Value value{};
  if (in >> value) return value;
  return std::nullopt;
}

/// "1024K" or "32M".
std::uint64_t size_in(const std::filesystem::path& file) {
  constexpr std::uint64_t kMostUnits = 1 << 30;
  std::ifstream in(file);
  std::uint64_t units = 0;
  char unit = 0;
  if (!(in >> units >> unit) || units > kMostUnits) return 0;
  return unit == 'K' ? units << 10 : unit == 'M' ? units << 20 : 0;
}

}  // namespace

std::vector<std::uint64_t> data_cache_bytes(const std::filesystem::path& root) {
  constexpr std::size_t kMostCaches = 16;
  const auto folder =
      root / "sys/devices/system/cpu" / ("cpu" + std::to_string(first_usable_cpu())) / "cache";
  std::vector<std::uint64_t> sizes(kLevels);
  for (std::size_t i = 0; i < kMostCaches; ++i) {
    const auto cache = folder / ("index" + std::to_string(i));
    const auto level = value_in<std::size_t>(cache / "level");
    if (!level) break;
    if (*level < 1 || *level > kLevels || value_in<std::string>(cache / "type") == "Instruction") continue;
    sizes[*level - 1] = size_in(cache / "size");
  }
  return sizes;
}

}  // namespace tandem::hardware
