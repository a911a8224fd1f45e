#include <array>
#include <cpuid.h>
#include <cstdint>
#include <cstring>
#include <sys/syscall.h>
#include <unistd.h>

#include "hardware/processor.h"
#include "hardware/trimmed.h"

namespace tandem::hardware {
namespace {

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

}  // namespace

std::string processor_name(const std::filesystem::path& /*root*/) {
  return trimmed(brand() + " " + signature());
}

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

}  // namespace tandem::hardware
