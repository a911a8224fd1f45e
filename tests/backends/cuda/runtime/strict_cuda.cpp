// The runtime's calls of strict_cuda.h.

#include "tests/backends/cuda/runtime/strict_cuda.h"

#include <cstdlib>
#include <cstring>
#include <utility>

#include "tests/backends/cuda/runtime/strict_world.h"

namespace tandem::cuda_test {
namespace {

/// Whether [at, at + bytes) lies in one allocation of that kind.
bool lies_in(const void* at, std::size_t bytes, bool on_device) {
  auto* const first = static_cast<std::byte*>(const_cast<void*>(at));
  auto after = world().memory.upper_bound(first);
  if (after == world().memory.begin()) return false;
  const auto& [begin, block] = *--after;
  return block.on_device == on_device && first + bytes <= begin + block.bytes;
}

/// Work of a stream: done at once, or recorded.
cudaError_t put(cudaStream_t stream, std::function<void()> work) {
  if (stream == nullptr) {
    complain("work in the default stream");
    return cudaErrorInvalidValue;
  }
  if (!stream->captured) {
    work();
    return cudaSuccess;
  }
  if (capturing != stream) complain("a stream that another thread captures was used");
  stream->captured->work.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t allocate(void** data, std::size_t bytes, bool on_device) {
  const Lock lock(world_mutex());
  if (forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  if (current == nullptr) complain("memory without a device");
  if (on_device && whole_pages(bytes) > kDeviceBytes - world().taken_bytes) return cudaErrorMemoryAllocation;
  auto* const memory = static_cast<std::byte*>(std::aligned_alloc(256, (bytes + 255) / 256 * 256));
  std::memset(memory, 0xff, bytes);
  world().memory[memory] = {bytes, on_device};
  if (on_device) world().taken_bytes += whole_pages(bytes);
  ++world().counts.allocations;
  *data = memory;
  return cudaSuccess;
}

cudaError_t release(void* data, bool on_device) {
  const Lock lock(world_mutex());
  if (data == nullptr) return cudaSuccess;
  if (forbidden_now()) return cudaErrorStreamCaptureUnsupported;
  const auto found = world().memory.find(static_cast<std::byte*>(data));
  if (found == world().memory.end() || found->second.on_device != on_device) return cudaErrorInvalidValue;
  if (on_device) world().taken_bytes -= whole_pages(found->second.bytes);
  world().memory.erase(found);
  --world().counts.allocations;
  std::free(data);
  return cudaSuccess;
}

}  // namespace

StrictCuda& strict_cuda() {
  return world().machine;
}

StrictCounts strict_counts() {
  const Lock lock(world_mutex());
  return world().counts;
}

std::vector<std::string> take_complaints() {
  const Lock lock(world_mutex());
  return std::exchange(world().complaints, {});
}

}  // namespace tandem::cuda_test

using namespace tandem::cuda_test;

extern "C" {

/// What the driver's own library says (strict_nvml.cpp).
std::uint64_t strict_cuda_free_bytes() {
  const Lock lock(world_mutex());
  return kDeviceBytes - world().taken_bytes;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = strict_cuda().driver_version;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}
const char* cudaGetErrorName(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "cudaErrorMemoryAllocation" : "an error's name";
}
const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorStreamCaptureUnsupported:
      return "operation not permitted when stream is capturing";
    default:
      return "an error's text";
  }
}

cudaError_t cudaGetDeviceCount(int* n) {
  const auto& machine = strict_cuda();
  if (machine.driver_version < CUDART_VERSION) return cudaErrorInsufficientDriver;
  if (machine.gpus == 0) return cudaErrorNoDevice;
  *n = machine.gpus;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  std::memcpy(properties->name, "strict", sizeof "strict");
  properties->major = device == 0 ? 9 : 7;
  properties->minor = 0;
  properties->multiProcessorCount = kMultiprocessors;
  properties->totalGlobalMem = kDeviceBytes;
  properties->l2CacheSize = 50 << 20;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetPCIBusId(char* id, int, int) {
  std::memcpy(id, "0000:00:00.0", sizeof "0000:00:00.0");
  return cudaSuccess;
}

cudaError_t cudaInitDevice(int device, unsigned, unsigned) {
  const Lock lock(world_mutex());
  return open_device(device);
}

cudaError_t cudaSetDevice(int device) {
  const Lock lock(world_mutex());
  const auto error = open_device(device);
  if (error == cudaSuccess) current = &world().primary[device];
  return error;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes*, const void*) {
  if (current == nullptr || !has_code(current->device)) return cudaErrorNoKernelImageForDevice;
  return cudaSuccess;
}

cudaError_t cudaFuncSetAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  const Lock lock(world_mutex());
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaErrorInvalidValue;
  if (static_cast<std::size_t>(value) > kSharedBytesWithLeave) return cudaErrorInvalidValue;
  world().shared_leave[kernel] = static_cast<std::size_t>(value);
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free_bytes, std::size_t* total) {
  const Lock lock(world_mutex());
  if (current == nullptr) complain("free memory without a device");
  *free_bytes = kDeviceBytes - world().taken_bytes;
  *total = kDeviceBytes;
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** data, std::size_t bytes) {
  return allocate(data, bytes, true);
}
cudaError_t cudaMallocHost(void** data, std::size_t bytes) {
  return allocate(data, bytes, false);
}
cudaError_t cudaFree(void* data) {
  return release(data, true);
}
cudaError_t cudaFreeHost(void* data) {
  return release(data, false);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock(world_mutex());
  if (flags != cudaStreamNonBlocking) complain("a stream that waits for the default stream");
  *stream = new CUstream_st{current, nullptr, nullptr, false};
  ++world().counts.streams;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(world_mutex());
  if (stream->captured) complain("a stream ended while it was captured");
  if (stream->part != nullptr) --stream->part->streams;
  --world().counts.streams;
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (flags != cudaEventDisableTiming) complain("an event that takes the time");
  return make_event(event) ? cudaSuccess : cudaErrorDeviceUninitialized;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(world_mutex());
  --world().counts.events;
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  if (event->context != stream->context) return cudaErrorInvalidResourceHandle;
  return put(stream, [] {});
}
cudaError_t cudaEventSynchronize(cudaEvent_t) {
  return forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t, unsigned) {
  return put(stream, [] {});
}
cudaError_t cudaStreamSynchronize(cudaStream_t) {
  return forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
  return forbidden_now() ? cudaErrorStreamCaptureUnsupported : cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const Lock lock(world_mutex());
  const bool reads_device = kind != cudaMemcpyHostToDevice, writes_device = kind != cudaMemcpyDeviceToHost;
  if (!lies_in(from, bytes, reads_device) || !lies_in(to, bytes, writes_device)) return cudaErrorInvalidValue;
  return put(stream, [=] { std::memmove(to, from, bytes); });
}
cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  const Lock lock(world_mutex());
  if (!lies_in(to, bytes, true)) return cudaErrorInvalidValue;
  return put(stream, [=] { std::memset(to, value, bytes); });
}

cudaError_t cudaLaunchKernel(const void* kernel, dim3 blocks, dim3 threads, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  const Lock lock(world_mutex());
  auto& it = world();
  if (!it.kernels.contains(kernel) || arguments == nullptr) return cudaErrorInvalidDeviceFunction;
  if (current == nullptr || stream->context->device != current->device) return cudaErrorInvalidResourceHandle;
  if (!has_code(current->device)) return cudaErrorNoKernelImageForDevice;
  const auto leave = it.shared_leave.find(kernel);
  if (shared_bytes > (leave != it.shared_leave.end() ? leave->second : kSharedBytes)) {
    return cudaErrorInvalidValue;
  }
  constexpr unsigned kMostThreads = 1024, kMostBlocksYz = 65535;
  const auto in_block = std::uint64_t{threads.x} * threads.y * threads.z;
  const auto in_grid = std::uint64_t{blocks.x} * blocks.y * blocks.z;
  const bool too_many = in_block > kMostThreads || blocks.y > kMostBlocksYz || blocks.z > kMostBlocksYz;
  if (too_many || in_block == 0 || in_grid == 0) return cudaErrorInvalidConfiguration;
  const bool on_part = stream->context->green;
  return put(stream, [on_part] {
    ++world().counts.launches;
    world().counts.launches_on_part += on_part;
  });
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(world_mutex());
  if (mode != cudaStreamCaptureModeThreadLocal) complain("a capture that other threads' calls spoil");
  if (stream->captured) return cudaErrorIllegalState;
  stream->captured = std::make_unique<CUgraph_st>();
  stream->spoilt = false;
  capturing = stream;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(world_mutex());
  *graph = nullptr;
  if (capturing != stream) return cudaErrorStreamCaptureWrongThread;
  capturing = nullptr;
  auto captured = std::move(stream->captured);
  if (stream->spoilt) return cudaErrorStreamCaptureInvalidated;
  *graph = captured.release();
  ++world().counts.graphs;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(world_mutex());
  --world().counts.graphs;
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* made, cudaGraph_t graph, unsigned long long) {
  const Lock lock(world_mutex());
  if (kGraphBytes > kDeviceBytes - world().taken_bytes) return cudaErrorMemoryAllocation;
  world().taken_bytes += whole_pages(kGraphBytes);
  *made = new CUgraphExec_st{*graph, nullptr};
  ++world().counts.graphs;
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
  const Lock lock(world_mutex());
  if (graph == nullptr) return cudaErrorInvalidValue;
  world().taken_bytes -= whole_pages(kGraphBytes);
  --world().counts.graphs;
  delete graph;
  return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t graph, cudaStream_t stream) {
  if (stream->captured) return cudaErrorStreamCaptureUnsupported;
  graph->uploaded_to = stream->context;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
  const Lock lock(world_mutex());
  if (graph->uploaded_to != stream->context) complain("a graph is uploaded when it is launched first");
  ++world().counts.graph_launches;
  for (const auto& work : graph->graph.work) work();
  return cudaSuccess;
}

cudaError_t cudaGetDriverEntryPointByVersion(const char* name, void** address, unsigned version,
                                             unsigned long long, cudaDriverEntryPointQueryResult* found) {
  const auto known = entry_points().find(name);
  const bool green = std::strstr(name, "Green") != nullptr || std::strstr(name, "DevResource") != nullptr;
  *address = nullptr;
  *found = cudaDriverEntryPointSymbolNotFound;
  if (known == entry_points().end() || (green && !strict_cuda().has_green_contexts)) return cudaSuccess;
  *found =
      known->second.since == version ? cudaDriverEntryPointSuccess : cudaDriverEntryPointVersionNotSufficent;
  if (known->second.since == version) *address = known->second.address;
  return cudaSuccess;
}

// What nvcc's code calls, by its names.
// NOLINTBEGIN(bugprone-reserved-identifier)

void** __cudaRegisterFatBinary(void*) {
  static void* handle = nullptr;
  return &handle;
}
void __cudaRegisterFatBinaryEnd(void**) {}
void __cudaUnregisterFatBinary(void**) {}
void __cudaRegisterFunction(void**, const char* on_host, char*, const char*, int, uint3*, uint3*, dim3*,
                            dim3*, int*) {
  const Lock lock(world_mutex());
  world().kernels.insert(on_host);
}
unsigned __cudaPushCallConfiguration(dim3, dim3, std::size_t, void*) {
  return 1;
}
cudaError_t __cudaPopCallConfiguration(dim3*, dim3*, std::size_t*, void*) {
  return cudaErrorInvalidConfiguration;
}
cudaError_t __cudaGetKernel(void**, const void*) {
  return cudaErrorInvalidDeviceFunction;
}
cudaError_t __cudaLaunchKernel(void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  return cudaErrorInvalidDeviceFunction;
}

// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
