#include "hardware/fingerprint.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <sched.h>
#include <string_view>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hardware/caches.h"
#include "hardware/processor.h"
#include "hardware/trimmed.h"
#include "model/sha256.h"

namespace tandem::hardware {
namespace {

std::uint32_t usable_cpus() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) return static_cast<std::uint32_t>(CPU_COUNT(&cpus));
  return static_cast<std::uint32_t>(std::max(0L, ::sysconf(_SC_NPROCESSORS_ONLN)));  // beyond 1,024 of them
}

std::uint64_t ram_gib() {
  constexpr std::uint64_t kGib = std::uint64_t{1} << 30;
  const auto pages = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PHYS_PAGES)));
  const auto page_bytes = static_cast<std::uint64_t>(std::max(0L, ::sysconf(_SC_PAGESIZE)));
  return (pages * page_bytes + kGib / 2) / kGib;
}

/// Names of NVIDIA's cards, as the driver shows them without being called.
std::vector<std::string> gpu_names(const std::filesystem::path& root) {
  constexpr std::string_view kModel = "Model:";
  std::vector<std::string> addresses;
  std::error_code none;
  const auto folder = root / "proc/driver/nvidia/gpus";
  for (const auto& entry : std::filesystem::directory_iterator(folder, none)) {
    addresses.push_back(entry.path().filename().string());
  }
  std::ranges::sort(addresses);
  std::vector<std::string> names;
  for (const auto& address : addresses) {
    std::ifstream file(folder / address / "information");
    for (std::string line; std::getline(file, line);) {
      if (line.starts_with(kModel)) names.push_back(trimmed(line.substr(kModel.size())));
    }
  }
  return names;
}

}  // namespace

Fingerprint this_machine(std::uint32_t threads, const std::filesystem::path& root) {
  Fingerprint fingerprint;
  fingerprint.cpu = processor_name(root);
  fingerprint.cpus = usable_cpus();
  fingerprint.threads = threads;
  fingerprint.cache_bytes = data_cache_bytes(root);
  fingerprint.ram_gib = ram_gib();
  fingerprint.gpus = gpu_names(root);
  fingerprint.instruction_sets = instruction_sets();
  fingerprint.version = TANDEM_VERSION;
  if (const char* const name = std::getenv("TANDEM_KERNELS")) fingerprint.kernels = name;
  return fingerprint;
}

std::string to_json(const Fingerprint& fingerprint) {
  const nlohmann::ordered_json json{{"cpu", fingerprint.cpu},
                                    {"cpus", fingerprint.cpus},
                                    {"threads", fingerprint.threads},
                                    {"cache_bytes", fingerprint.cache_bytes},
                                    {"ram_gib", fingerprint.ram_gib},
                                    {"gpus", fingerprint.gpus},
                                    {"instruction_sets", fingerprint.instruction_sets},
                                    {"version", fingerprint.version},
                                    {"kernels", fingerprint.kernels}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string key_of(const Fingerprint& fingerprint) {
  constexpr std::size_t kDigits = 16;
  const auto text = to_json(fingerprint);
  return model::sha256_hex(std::as_bytes(std::span(text))).substr(0, kDigits);
}

}  // namespace tandem::hardware
