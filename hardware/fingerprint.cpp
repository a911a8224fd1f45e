#include "hardware/fingerprint.h"

#include <algorithm>
#include <array>
#include <cpuid.h>
#include <cstring>
#include <fstream>
#include <sched.h>
#include <span>
#include <string_view>
#include <sys/syscall.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "hardware/caches.h"
#include "model/sha256.h"

namespace tandem::hardware {
namespace {

/// Text without blanks at both ends.
std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(" \t") - first + 1));
}

/// The processor's brand, leaves 0x80000002 to 0x80000004 of CPUID.  Not /proc/cpuinfo: on a machine of many
/// cores that file takes longer than a plan.
std::string brand() {
  constexpr unsigned kFirstLeaf = 0x80000002;
  std::array<std::array<unsigned, 4>, 3> words{};
  for (unsigned i = 0; i < words.size(); ++i) {
    auto& [a, b, c, d] = words[i];
    if (__get_cpuid(kFirstLeaf + i, &a, &b, &c, &d) == 0) return {};
  }
  std::array<char, sizeof words> text{};
  std::memcpy(text.data(), words.data(), sizeof words);
  return trimmed({text.data(), ::strnlen(text.data(), text.size())});
}

/// Family, model and stepping, extended fields included (CPUID leaf 1).
std::string signature() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0) return {};
  const auto family = ((a >> 8) & 15U) + ((a >> 20) & 255U);
  const auto model = ((a >> 4) & 15U) + ((a >> 12) & 240U);
  return "family " + std::to_string(family) + " model " + std::to_string(model) + " stepping " +
         std::to_string(a & 15U);
}

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

/// Dot products on 256-bit registers without AVX-512.
bool has_avx_vnni() {
  constexpr unsigned kAvxVnni = 1U << 4;
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) != 0 && (a & kAvxVnni) != 0;
}

/// Products of tiles of bytes: the processor has them, and its kernel keeps tile registers for processes that
/// ask (Linux 5.16 and later).
bool has_amx_int8() {
  constexpr unsigned kTileAndInt8 = 3U << 24;
  constexpr long kGetSupported = 0x1021;  // ARCH_GET_XCOMP_SUPP
  constexpr std::uint64_t kTileData = 1ULL << 18;
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (d & kTileAndInt8) != kTileAndInt8) return false;
  std::uint64_t supported = 0;
  return ::syscall(SYS_arch_prctl, kGetSupported, &supported) == 0 && (supported & kTileData) != 0;
}

/// Those that backends/cpu/kernel_set.cpp asks for.
std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets;
  if (__builtin_cpu_supports("sse4.1") != 0) sets.emplace_back("sse4.1");
  if (__builtin_cpu_supports("avx2") != 0) sets.emplace_back("avx2");
  if (__builtin_cpu_supports("avx512f") != 0) sets.emplace_back("avx512f");
  if (__builtin_cpu_supports("avx512bw") != 0) sets.emplace_back("avx512bw");
  if (__builtin_cpu_supports("avx512dq") != 0) sets.emplace_back("avx512dq");
  if (__builtin_cpu_supports("avx512vl") != 0) sets.emplace_back("avx512vl");
  if (__builtin_cpu_supports("avx512vnni") != 0) sets.emplace_back("avx512vnni");
  if (has_avx_vnni()) sets.emplace_back("avxvnni");
  if (has_amx_int8()) sets.emplace_back("amx-int8");
  return sets;
}

}  // namespace

Fingerprint this_machine(std::uint32_t threads, const std::filesystem::path& root) {
  Fingerprint fingerprint;
  fingerprint.cpu = trimmed(brand() + " " + signature());
  fingerprint.cpus = usable_cpus();
  fingerprint.threads = threads;
  fingerprint.cache_bytes = data_cache_bytes(root);
  fingerprint.ram_gib = ram_gib();
  fingerprint.gpus = gpu_names(root);
  fingerprint.instruction_sets = instruction_sets();
  fingerprint.version = TANDEM_VERSION;
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
                                    {"version", fingerprint.version}};
  return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

std::string key_of(const Fingerprint& fingerprint) {
  constexpr std::size_t kDigits = 16;
  const auto text = to_json(fingerprint);
  return model::sha256_hex(std::as_bytes(std::span(text))).substr(0, kDigits);
}

}  // namespace tandem::hardware
