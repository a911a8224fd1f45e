#include "backends/cuda/driver_memory.h"

#include <cuda_runtime.h>
#include <dlfcn.h>
#include <memory>

namespace tandem::cuda {
namespace {

// NVML's own declarations, as its ABI has them since version 2; its header is no part of every toolkit.
struct NvmlMemory {
  unsigned long long total;
  unsigned long long free;
  unsigned long long used;
};
using NvmlDevice = void*;

struct Close {
  void operator()(void* library) const { dlclose(library); }
};

}  // namespace

std::optional<std::uint64_t> free_bytes_without_context(int number) {
  char bus_id[32] = {};
  if (cudaDeviceGetPCIBusId(bus_id, sizeof bus_id, number) != cudaSuccess) return std::nullopt;
  const std::unique_ptr<void, Close> library(dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL));
  if (library == nullptr) return std::nullopt;
  const auto find = [&library](const char* name) { return dlsym(library.get(), name); };
  const auto init = reinterpret_cast<int (*)()>(find("nvmlInit_v2"));
  const auto shutdown = reinterpret_cast<int (*)()>(find("nvmlShutdown"));
  const auto device_at =
      reinterpret_cast<int (*)(const char*, NvmlDevice*)>(find("nvmlDeviceGetHandleByPciBusId_v2"));
  const auto memory_of = reinterpret_cast<int (*)(NvmlDevice, NvmlMemory*)>(find("nvmlDeviceGetMemoryInfo"));
  if (init == nullptr || shutdown == nullptr || device_at == nullptr || memory_of == nullptr) {
    return std::nullopt;
  }
  if (init() != 0) return std::nullopt;
  NvmlDevice device = nullptr;
  NvmlMemory memory{};
  const bool told = device_at(bus_id, &device) == 0 && memory_of(device, &memory) == 0;
  shutdown();
  if (!told) return std::nullopt;
  return memory.free;
}

}  // namespace tandem::cuda
