// The CUDA runtime's body of runtime.h, for builds with a toolkit.

#include <cstring>
#include <cuda_runtime.h>
#include <string>
#include <utility>

#include "backends/cuda/launch.cuh"
#include "backends/cuda/open_device.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda {
namespace {

void check(cudaError_t error, const std::string& what) {
  if (error == cudaSuccess) return;
  throw DeviceError(what + ": " + cudaGetErrorString(error));
}

/// Dynamic shared memory that needs no leave.
constexpr std::size_t kSharedBytesAtWill = std::size_t{48} << 10;

}  // namespace

struct Device::State {
  int number;

  /// Makes this the device that calls of this thread mean.
  void use() const { check(cudaSetDevice(number), "GPU " + std::to_string(number)); }
};

struct Event::State {
  cudaEvent_t event = nullptr;
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
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "stream");
  }
  ~State() { cudaStreamDestroy(stream); }
};

Device::Device(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

Device open_device(int number) {
  auto state = std::make_unique<Device::State>(Device::State{number});
  state->use();
  check(cudaFree(nullptr), "GPU " + std::to_string(number));  // makes the context now
  return Device(std::move(state));
}

MemoryInfo Device::memory() const {
  state_->use();
  MemoryInfo info;
  check(cudaMemGetInfo(&info.free_bytes, &info.total_bytes), "free device memory");
  return info;
}

void Device::synchronise() {
  state_->use();
  check(cudaDeviceSynchronize(), "work on the GPU");
}

DeviceMemory::DeviceMemory(Device& device, std::size_t bytes) : device_(&device.state()), bytes_(bytes) {
  device_->use();
  void* data = nullptr;
  check(cudaMalloc(&data, bytes), "device memory of " + std::to_string(bytes) + " bytes");
  data_ = static_cast<std::byte*>(data);
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

DeviceMemory::~DeviceMemory() {
  cudaFree(data_);
}

PinnedMemory::PinnedMemory(Device& device, std::size_t bytes) : device_(&device.state()), bytes_(bytes) {
  device_->use();
  void* data = nullptr;
  check(cudaMallocHost(&data, bytes), "pinned memory of " + std::to_string(bytes) + " bytes");
  data_ = static_cast<std::byte*>(data);
  std::memset(data_, 0, bytes);
}

PinnedMemory::PinnedMemory(PinnedMemory&& other) noexcept
    : device_(std::exchange(other.device_, nullptr)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

PinnedMemory& PinnedMemory::operator=(PinnedMemory&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

PinnedMemory::~PinnedMemory() {
  cudaFreeHost(data_);
}

void Event::synchronise() const {
  if (state_ != nullptr) check(cudaEventSynchronize(state_->event), "work on the GPU");
}

Stream::Stream(Device& device) : state_(std::make_unique<State>(device.state())) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

void Stream::copy_to_device(void* to, const void* from_host, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from_host, bytes, cudaMemcpyHostToDevice, state_->stream), "copy to the device");
}

void Stream::copy_to_host(void* to_host, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to_host, from, bytes, cudaMemcpyDeviceToHost, state_->stream), "copy to the host");
}

void Stream::copy_on_device(void* to, const void* from, std::size_t bytes) {
  check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, state_->stream), "copy on the device");
}

void Stream::fill(void* to, unsigned char value, std::size_t bytes) {
  check(cudaMemsetAsync(to, value, bytes, state_->stream), "fill");
}

Event Stream::record() {
  auto event = std::make_shared<Event::State>();
  check(cudaEventCreateWithFlags(&event->event, cudaEventDisableTiming), "event");
  check(cudaEventRecord(event->event, state_->stream), "event");
  return Event(std::move(event));
}

void Stream::wait(const Event& event) {
  if (event.state() == nullptr) return;
  check(cudaStreamWaitEvent(state_->stream, event.state()->event, 0), "waiting for an event");
}

Graph Stream::capture(const std::function<void()>& enqueue) {
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
  if (!graph.empty()) check(cudaGraphLaunch(graph.state()->graph, state_->stream), "graph launch");
}

void Stream::synchronise() {
  check(cudaStreamSynchronize(state_->stream), "work on the GPU");
}

void start_kernel(Stream& stream, const Launch& shape, const void* kernel, const void* const* arguments) {
  const std::string what = std::string("launch of ") + shape.name;
  stream.state().device.use();
  if (shape.shared_bytes > kSharedBytesAtWill) {
    check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(shape.shared_bytes)),
          what);
  }
  check(cudaLaunchKernel(kernel, shape.blocks, shape.threads, const_cast<void**>(arguments),
                         shape.shared_bytes, stream.state().stream),
        what);
}

}  // namespace tandem::cuda
