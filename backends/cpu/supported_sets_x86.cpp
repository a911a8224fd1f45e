#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "backends/cpu/supported_sets.h"

namespace tandem::cpu {

extern const KernelSet kAmxInt8Kernels;
extern const KernelSet kAvx512VnniKernels;
extern const KernelSet kAvxVnniKernels;
extern const KernelSet kAvx2Kernels;
extern const KernelSet kSse41Kernels;

namespace {

/// AMX-TILE and AMX-INT8, which not every compiler knows by name.
bool has_tiles() noexcept {
  constexpr unsigned kTileAndInt8 = 3u << 24;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0 && (edx & kTileAndInt8) == kTileAndInt8;
}

/// Dot products on 256-bit registers without AVX-512.
bool has_avx_vnni() noexcept {
  constexpr unsigned kAvxVnni = 1u << 4;
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 && (eax & kAvxVnni) != 0;
}

/// Tile registers are large: a process has to ask for their state to be kept, once for all of its threads.
bool tiles_are_permitted() noexcept {
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, Linux 5.16 and later
  constexpr long kTileData = 18;               // XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

void add_sets_of_architecture(SupportedSets& supported) noexcept {
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512vnni");
  // F16C is older: no CPU has AVX2 without it
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (avx512 && avx2 && has_tiles() && tiles_are_permitted()) supported.add(kAmxInt8Kernels);
  if (avx512 && avx2) supported.add(kAvx512VnniKernels);
  if (avx2 && has_avx_vnni()) supported.add(kAvxVnniKernels);
  if (avx2) supported.add(kAvx2Kernels);
  if (__builtin_cpu_supports("sse4.1")) supported.add(kSse41Kernels);
}

}  // namespace tandem::cpu
