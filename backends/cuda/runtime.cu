// The CUDA runtime's body of runtime.h, for builds with a toolkit.

#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "backends/cuda/driver_memory.h"
#include "backends/cuda/green_context.h"
#include "backends/cuda/launch.cuh"
#include "backends/cuda/memory_place.h"
#include "backends/cuda/open_accelerator.h"
#include "backends/cuda/open_device.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda {
namespace {

/// Throws unless `error` is none; `what` of `about` failed.  Builds no text otherwise.
void check(cudaError_t error, const char* what, const char* about = "") {
  if (error == cudaSuccess) return;
  throw DeviceError(std::string(what) + about + ": " + cudaGetErrorString(error) + " (" +
                    cudaGetErrorName(error) + ")");
}

/// Dynamic shared memory that needs no leave: a block has 48 KiB without it, its variables included, of which
/// no kernel has 16 KiB.
constexpr std::size_t kSharedBytesAtWill = std::size_t{32} << 10;

DeviceProperties properties_of(int number) {
  cudaDeviceProp said{};
  check(cudaGetDeviceProperties(&said, number), "properties of the GPU");
  return {said.name, static_cast<std::uint32_t>(said.major * 10 + said.minor),
          static_cast<std::uint32_t>(said.multiProcessorCount), said.totalGlobalMem,
          static_cast<std::size_t>(said.l2CacheSize)};
}

std::string version_text(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

/// Stands for all kernels of this program.
__global__ void some_kernel() {}

/// Throws unless `error`, of making the context of GPU `number` and loading its kernels, is none.
void check_code(int number, cudaError_t error) {
  if (error != cudaErrorNoKernelImageForDevice && error != cudaErrorInvalidDeviceFunction) {
    return check(error, "context on the GPU");
  }
  const auto capability = properties_of(number).compute_capability;
  throw DeviceError("GPU " + std::to_string(number) + ": this program has no code for compute capability " +
                    std::to_string(capability / 10) + "." + std::to_string(capability % 10) +
                    " (TANDEM_CUDA_ARCHITECTURES)");
}

/// Makes the context of GPU `number`, of which a process has one, and returns what the driver took for it;
/// 0 if it does not tell.  Asking it costs tens of milliseconds, so it is asked once.
std::size_t make_context(int number) {
  static std::mutex mutex;
  static std::map<int, std::size_t> taken_bytes;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto known = taken_bytes.find(number);
  if (known != taken_bytes.end()) return known->second;
  const auto before = free_bytes_without_context(number);
  // Whoever waits for the GPU yields meanwhile: by default it would spin on a core that the CPU's team may be
  // waiting for at a barrier (CUDA Runtime API, cudaSetDeviceFlags).
  check_code(number, cudaInitDevice(number, cudaDeviceScheduleYield, cudaInitDeviceFlagsAreValid));
  check_code(number, cudaSetDevice(number));
  cudaFuncAttributes said{};
  check_code(number, cudaFuncGetAttributes(&said, some_kernel));
  const auto after = free_bytes_without_context(number);
  return taken_bytes[number] = before && after && *after < *before ? *before - *after : 0;
}

/// Lets a kernel have `bytes` of dynamic shared memory.  What it was allowed is never taken back: a graph may
/// hold launches of the same kernel that take more.
void allow_shared_bytes(int number, const void* kernel, std::size_t bytes, const char* name) {
  static std::mutex mutex;
  static std::map<std::pair<int, const void*>, std::size_t> allowed_bytes;
  const std::lock_guard<std::mutex> lock(mutex);
  auto& allowed = allowed_bytes[{number, kernel}];
  if (bytes <= allowed) return;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "launch of ", name);
  allowed = bytes;
}

/// Number of GPUs; if there are none, why.
int count_gpus(cudaError_t* error) {
  // Kernels are loaded with the context, not each at its first launch: what they take is known then, and no
  // first launch is one that is being captured.
  setenv("CUDA_MODULE_LOADING", "EAGER", /*overwrite=*/0);
  int n = 0;
  *error = cudaGetDeviceCount(&n);
  if (*error == cudaSuccess && n == 0) *error = cudaErrorNoDevice;
  return *error == cudaSuccess ? n : 0;
}

/// Why the driver counts no GPU.
std::string why_none(cudaError_t error) {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) return "there is no NVIDIA driver";
  if (error == cudaErrorInsufficientDriver) {
    return "the NVIDIA driver is for CUDA " + version_text(driver) +
           " and older, and this program for CUDA " + version_text(runtime) + ": it needs a newer driver";
  }
  return std::string("the NVIDIA driver says: ") + cudaGetErrorString(error);
}

}  // namespace

GpuSurvey find_gpus() {
  cudaError_t error = cudaSuccess;
  const int n = count_gpus(&error);
  if (n == 0) return {{}, why_none(error)};
  GpuSurvey survey;
  for (int number = 0; number < n; ++number) survey.gpus.push_back(properties_of(number));
  return survey;
}

struct Device::State {
  int number = 0;
  std::size_t driver_bytes = 0;
  std::optional<GreenContext> part;

  /// Makes this the device that calls of this thread mean.
  void use() const { check(cudaSetDevice(number), "GPU"); }
};

struct Event::State {
  const Device::State& device;
  cudaEvent_t event = nullptr;

  explicit State(const Device::State& its_device) : device(its_device) {
    device.use();
    if (device.part) {
      event = device.part->make_event();
    } else {
      check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "event");
    }
  }
  ~State() { cudaEventDestroy(event); }
};

struct Graph::State {
  cudaGraphExec_t graph = nullptr;
  std::size_t bytes = 0;  ///< by which the device's free memory shrank
  ~State() { cudaGraphExecDestroy(graph); }
};

struct Stream::State {
  const Device::State& device;
  cudaStream_t stream = nullptr;

  explicit State(const Device::State& its_device) : device(its_device) {
    device.use();
    if (device.part) {
      stream = device.part->make_stream();
    } else {
      check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
    }
  }
  ~State() { cudaStreamDestroy(stream); }
};

Device::Device(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

Device open_device(int number, std::uint32_t multiprocessors) {
  cudaError_t error = cudaSuccess;
  const int n = count_gpus(&error);
  const auto name = "GPU " + std::to_string(number) + ": ";
  if (n == 0) throw DeviceError(name + why_none(error));
  if (number < 0 || number >= n) throw DeviceError(name + "there are " + std::to_string(n));
  auto state = std::make_unique<Device::State>();
  state->number = number;
  state->driver_bytes = make_context(number);
  state->use();
  if (multiprocessors != 0) state->part.emplace(number, multiprocessors);
  return Device(std::move(state));
}

DeviceProperties Device::properties() const {
  auto properties = properties_of(state_->number);
  if (state_->part) properties.multiprocessors = state_->part->multiprocessors();
  return properties;
}

MemoryInfo Device::memory() const {
  state_->use();
  MemoryInfo info;
  check(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "free device memory");
  info.driver_bytes = state_->driver_bytes;
  return info;
}

void Device::synchronise() {
  state_->use();
  check(cudaDeviceSynchronize(), "work on the GPU");
}

std::byte* allocate(Device::State& device, std::size_t bytes, MemoryPlace place) {
  device.use();
  void* data = nullptr;
  if (place == MemoryPlace::device) {
    check(cudaMalloc(&data, bytes), "device memory of ", (std::to_string(bytes) + " bytes").c_str());
  } else {
    check(cudaMallocHost(&data, bytes), "pinned memory of ", (std::to_string(bytes) + " bytes").c_str());
    std::memset(data, 0, bytes);
  }
  return static_cast<std::byte*>(data);
}

void release(Device::State&, std::byte* data, MemoryPlace place) noexcept {
  place == MemoryPlace::device ? cudaFree(data) : cudaFreeHost(data);
}

void Event::synchronise() const {
  if (state_ == nullptr) return;
  state_->device.use();
  check(cudaEventSynchronize(state_->event), "work on the GPU");
}

Stream::Stream(Device& device) : state_(std::make_unique<State>(device.state())) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

void Stream::copy_to_device(void* to, const void* from_host, std::size_t bytes) {
  state_->device.use();
  check(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, state_->stream), "copy to the device");
}

void Stream::copy_to_host(void* to_host, const void* from, std::size_t bytes) {
  state_->device.use();
  check(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, state_->stream), "copy to the host");
}

void Stream::copy_on_device(void* to, const void* from, std::size_t bytes) {
  state_->device.use();
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, state_->stream), "copy on the device");
}

void Stream::fill(void* to, unsigned char value, std::size_t bytes) {
  state_->device.use();
  check(cudaMemsetAsync(to, value, bytes, state_->stream), "fill");
}

Event Stream::record() {
  auto event = std::make_shared<Event::State>(state_->device);
  check(cudaEventRecord(event->event, state_->stream), "event");
  return Event(std::move(event));
}

void Stream::wait(const Event& event) {
  if (event.state() == nullptr) return;
  state_->device.use();
  check(cudaStreamWaitEvent(state_->stream, event.state()->event, 0), "waiting for an event");
}

Graph Stream::capture(const std::function<void()>& enqueue) {
  state_->device.use();
  check(cudaStreamBeginCapture(state_->stream, cudaStreamCaptureModeThreadLocal), "capture");
  cudaGraph_t recorded = nullptr;
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(state_->stream, &recorded);
    if (recorded != nullptr) cudaGraphDestroy(recorded);
    throw;
  }
  check(cudaStreamEndCapture(state_->stream, &recorded), "capture");
  auto graph = std::make_shared<Graph::State>();
  MemoryInfo before, after;
  cudaMemGetInfo(&before.free_bytes, &before.total_bytes);
  auto error = cudaGraphInstantiate(&graph->graph, recorded, 0);
  cudaGraphDestroy(recorded);
  if (error == cudaSuccess) error = cudaGraphUpload(graph->graph, state_->stream);
  check(error, "graph");
  check(cudaStreamSynchronize(state_->stream), "graph");
  cudaMemGetInfo(&after.free_bytes, &after.total_bytes);
  if (after.free_bytes < before.free_bytes) graph->bytes = before.free_bytes - after.free_bytes;
  return Graph(std::move(graph));
}

std::size_t Graph::bytes() const noexcept {
  return state_ != nullptr ? state_->bytes : 0;
}

void Stream::launch(const Graph& graph) {
  if (graph.empty()) return;
  state_->device.use();
  check(cudaGraphLaunch(graph.state()->graph, state_->stream), "graph launch");
}

void Stream::synchronise() {
  state_->device.use();
  check(cudaStreamSynchronize(state_->stream), "work on the GPU");
}

void start_kernel(Stream& stream, const Launch& shape, const void* kernel, const void* const* arguments) {
  stream.state().device.use();
  if (shape.shared_bytes > kSharedBytesAtWill) {
    allow_shared_bytes(stream.state().device.number, kernel, shape.shared_bytes, shape.name);
  }
  check(cudaLaunchKernel(kernel, shape.blocks, shape.threads, const_cast<void**>(arguments),
                         shape.shared_bytes, stream.state().stream),
        "launch of ", shape.name);
}

}  // namespace tandem::cuda
