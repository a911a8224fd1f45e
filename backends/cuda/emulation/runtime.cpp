// The emulation's body of runtime.h.

#include "backends/cuda/runtime.h"

#include <cstring>
#include <sys/mman.h>
#include <unistd.h>

#include "backends/cuda/emulation/device.h"
#include "backends/cuda/emulation/device_state.h"
#include "backends/cuda/emulation/enqueue.h"
#include "backends/cuda/emulation/inside.h"
#include "backends/cuda/memory_place.h"

namespace tandem::cuda {

using emulation::Access;
using emulation::Inside;
using emulation::MemoryKind;

Device::Device(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Device::Device(Device&&) noexcept = default;
Device& Device::operator=(Device&&) noexcept = default;
Device::~Device() = default;

MemoryInfo Device::memory() const {
  return state_->memory();
}

DeviceProperties Device::properties() const {
  return state_->properties();
}

void Device::synchronise() {
  const Inside inside;
  state_->synchronise();
}

std::byte* allocate(Device::State& device, std::size_t bytes, MemoryPlace place) {
  return device.allocate(bytes, place == MemoryPlace::device ? MemoryKind::device : MemoryKind::pinned);
}

void release(Device::State& device, std::byte* data, MemoryPlace) noexcept {
  device.free(data);
}

void Event::synchronise() const {
  const Inside inside;
  if (state_ != nullptr) state_->device.synchronise(*state_);
}

Stream::Stream(Device& device) : state_(std::make_unique<State>(device.state())) {}
Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

void Stream::copy_to_device(void* to, const void* from_host, std::size_t bytes) {
  const Inside inside;
  state_->device.check_range("copy to the device", to, bytes, MemoryKind::device);
  state_->device.check_range("copy to the device", from_host, bytes, MemoryKind::pinned);
  state_->device.add(*state_,
                     {"copy to the device", [=](Device::State&) { std::memcpy(to, from_host, bytes); },
                      static_cast<const std::byte*>(from_host), bytes, Access::read});
}

void Stream::copy_to_host(void* to_host, const void* from, std::size_t bytes) {
  const Inside inside;
  state_->device.check_range("copy to the host", to_host, bytes, MemoryKind::pinned);
  state_->device.check_range("copy to the host", from, bytes, MemoryKind::device);
  state_->device.add(*state_, {"copy to the host", [=](Device::State&) { std::memcpy(to_host, from, bytes); },
                               static_cast<const std::byte*>(to_host), bytes, Access::none});
}

void Stream::copy_on_device(void* to, const void* from, std::size_t bytes) {
  const Inside inside;
  state_->device.check_range("copy on the device", to, bytes, MemoryKind::device);
  state_->device.check_range("copy on the device", from, bytes, MemoryKind::device);
  state_->device.add(*state_, {"copy on the device", [=](Device::State&) { std::memmove(to, from, bytes); }});
}

void Stream::fill(void* to, unsigned char value, std::size_t bytes) {
  const Inside inside;
  state_->device.check_range("fill", to, bytes, MemoryKind::device);
  state_->device.add(*state_, {"fill", [=](Device::State&) { std::memset(to, value, bytes); }});
}

Event Stream::record() {
  const Inside inside;
  return Event(state_->device.record(*state_));
}

void Stream::wait(const Event& event) {
  const Inside inside;
  state_->device.wait(*state_, event.state());
}

Graph Stream::capture(const std::function<void()>& enqueue) {
  const Inside inside;
  state_->device.begin_capture(*state_);
  try {
    enqueue();
  } catch (...) {
    state_->device.drop_capture(*state_);
    throw;
  }
  return Graph(state_->device.end_capture(*state_));
}

std::size_t Graph::bytes() const noexcept {
  return state_ != nullptr ? state_->bytes() : 0;
}

void Stream::launch(const Graph& graph) {
  const Inside inside;
  if (!graph.empty()) state_->device.add(*state_, *graph.state());
}

void Stream::synchronise() {
  const Inside inside;
  state_->device.synchronise(*state_);
}

namespace emulation {
namespace {

// What an SM of compute capability 8.6 has.
constexpr std::size_t kMaxThreads = 1024;
constexpr unsigned kMaxBlocksYz = 65535;

void check_shape(const char* name, const GridShape& shape) {
  const auto refuse = [name](const char* why) {
    throw DeviceError("launch of " + std::string(name) + ": " + why);
  };
  const std::size_t threads = std::size_t{shape.threads.x} * shape.threads.y * shape.threads.z;
  if (threads == 0 || threads > kMaxThreads) refuse("a block has 1 to 1024 threads");
  if (shape.blocks.x == 0 || shape.blocks.y == 0 || shape.blocks.z == 0) refuse("there are no blocks");
  if (shape.blocks.y > kMaxBlocksYz || shape.blocks.z > kMaxBlocksYz) refuse("too many blocks in y or z");
  if (shape.shared_bytes > kMaxSharedBytes) refuse("more shared memory than a block may have");
}

/// Whether this process has memory at `address`.  One whose lower half is a small number may be such a number
/// beside padding, and is taken for that.
bool is_host_address(std::byte* address) {
  constexpr std::uintptr_t kLowerHalf = 0xffffffff, kSmall = std::uintptr_t{1} << 20;
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  if ((number & kLowerHalf) < kSmall) return false;
  static const auto page_bytes = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  unsigned char in_core;
  return mincore(address - number % page_bytes, 1, &in_core) == 0;
}

}  // namespace

Device make_device(const Options& options) {
  return Device(std::make_unique<Device::State>(options));
}

std::uint64_t calls(const Device& device) {
  return device.state().counts().calls;
}

Counts counts(Device::State& device) {
  return device.counts();
}

void fail_call(Device::State& device, std::uint64_t call) {
  device.fail_call(call);
}

void check_argument(Stream& stream, const char* name, const void* argument, std::size_t bytes) {
  for (std::size_t at = 0; at + sizeof(void*) <= bytes; at += sizeof(void*)) {
    std::byte* address;
    std::memcpy(static_cast<void*>(&address), static_cast<const std::byte*>(argument) + at, sizeof address);
    if (!is_host_address(address) || stream.state().device.owns(address)) continue;
    throw DeviceError("launch of " + std::string(name) + ": an argument points to memory of the host");
  }
}

void enqueue(Stream& stream, const char* name, const GridShape& shape, std::function<void()> kernel) {
  check_shape(name, shape);
  const Grid grid{name, shape.blocks, shape.threads, shape.shared_bytes, std::move(kernel)};
  stream.state().device.add(stream.state(), {name, [grid](Device::State& device) { device.run_grid(grid); }});
}

}  // namespace emulation
}  // namespace tandem::cuda
