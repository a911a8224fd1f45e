// What both bodies of runtime.h have in common: memory that is owned.

#include <utility>

#include "backends/cuda/memory_place.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda {

DeviceMemory::DeviceMemory(Device& device, std::size_t bytes)
    : device_(&device.state()), data_(allocate(*device_, bytes, MemoryPlace::device)), bytes_(bytes) {}

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
  if (data_ != nullptr) release(*device_, data_, MemoryPlace::device);
}

PinnedMemory::PinnedMemory(Device& device, std::size_t bytes)
    : device_(&device.state()), data_(allocate(*device_, bytes, MemoryPlace::pinned)), bytes_(bytes) {}

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
  if (data_ != nullptr) release(*device_, data_, MemoryPlace::pinned);
}

}  // namespace tandem::cuda
