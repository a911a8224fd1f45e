#pragma once

#include <cstring>
#include <functional>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/emulation/device.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda_test {

/// Seeds that tests of kernels go through; every one is another order of threads, blocks and streams.
inline constexpr std::uint64_t kSeeds = 8;

/// Devices have threads, which the child of a plain fork would lose.
class PlantedMistake : public testing::Test {
 protected:
  PlantedMistake() { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
};

/// A copy of `values` on the device.
template <class T>
cuda::DeviceMemory upload(cuda::Device& device, cuda::Stream& stream, std::span<const T> values) {
  cuda::DeviceMemory memory(device, values.size_bytes());
  const cuda::PinnedMemory pinned(device, values.size_bytes());
  std::memcpy(pinned.data(), values.data(), values.size_bytes());
  stream.copy_to_device(memory.data(), pinned.data(), values.size_bytes());
  stream.synchronise();
  return memory;
}

/// The first `n` values of `memory`, after all work of `stream`.
template <class T>
std::vector<T> download(cuda::Device& device, cuda::Stream& stream, const cuda::DeviceMemory& memory,
                        std::size_t n) {
  const cuda::PinnedMemory pinned(device, n * sizeof(T));
  stream.copy_to_host(pinned.data(), memory.data(), n * sizeof(T));
  stream.synchronise();
  std::vector<T> values(n);
  std::memcpy(values.data(), pinned.data(), n * sizeof(T));
  return values;
}

template <class T>
T* as(const cuda::DeviceMemory& memory) {
  return reinterpret_cast<T*>(memory.data());
}

}  // namespace tandem::cuda_test
