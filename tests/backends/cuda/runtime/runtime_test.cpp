// What runtime.cu asks of CUDA, by CUDA's rules (strict_cuda.h): it can be compiled for years without that it
// ever runs.

#include <cstring>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/graph_cache.h"
#include "backends/cuda/load_buffer.h"
#include "backends/cuda/open_accelerator.h"
#include "backends/cuda/open_device.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/runtime/some_kernels.h"
#include "tests/backends/cuda/runtime/strict_cuda.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceError;
using cuda::DeviceMemory;
using cuda::PinnedMemory;
using cuda::Stream;

std::string error_of(const std::function<void()>& work) {
  try {
    work();
  } catch (const DeviceError& error) {
    return error.what();
  }
  return "no error";
}

/// After a test nothing is alive but contexts, and nothing worked by luck.
class Runtime : public testing::Test {
 protected:
  ~Runtime() override {
    strict_cuda() = {};
    const auto alive = strict_counts();
    EXPECT_EQ(alive.events + alive.streams + alive.graphs + alive.green_contexts + alive.allocations, 0U);
    EXPECT_EQ(take_complaints(), std::vector<std::string>());
  }
};

TEST_F(Runtime, SaysWhyThereIsNoGpu) {
  strict_cuda().driver_version = 0;
  EXPECT_EQ(error_of([] { cuda::open_device(0); }), "GPU 0: there is no NVIDIA driver");
  strict_cuda().driver_version = 12000;
  const auto too_old = cuda::find_gpus().none_because;
  EXPECT_EQ(too_old.rfind("the NVIDIA driver is for CUDA 12.0 and older, and this program for CUDA ", 0), 0U);
  EXPECT_NE(too_old.find(": it needs a newer driver"), std::string::npos);
  strict_cuda() = {.gpus = 0};
  EXPECT_EQ(error_of([] { cuda::open_device(0); }),
            "GPU 0: the NVIDIA driver says: no CUDA-capable device is detected");
  strict_cuda() = {};
  EXPECT_EQ(error_of([] { cuda::open_device(2); }), "GPU 2: there are 2");
  EXPECT_EQ(error_of([] { cuda::open_device(1); }),
            "GPU 1: this program has no code for compute capability 7.0 (TANDEM_CUDA_ARCHITECTURES)");
}

TEST_F(Runtime, TellsWhatTheGpuIsAndWhatTheDriverTook) {
  const Device device = cuda::open_device(0);
  EXPECT_EQ(device.properties().compute_capability, 90U);
  EXPECT_EQ(device.properties().multiprocessors, kMultiprocessors);
  const auto memory = device.memory();
  EXPECT_EQ(memory.driver_bytes, kContextBytes);
  EXPECT_EQ(memory.total_bytes, std::size_t{16} << 30);
}

TEST_F(Runtime, MovesBytesThereAndBack) {
  Device device = cuda::open_device(0);
  Stream stream(device);
  const std::vector<int> numbers = {1, 2, 3, 4};
  const auto there = upload<int>(device, stream, numbers);
  const DeviceMemory copy(device, 16);
  stream.copy_on_device(copy.data(), there.data(), 8);
  stream.fill(copy.data() + 8, 0, 8);
  EXPECT_EQ(download<int>(device, stream, copy, 4), (std::vector<int>{1, 2, 0, 0}));
  EXPECT_NE(error_of([&] { stream.copy_to_host(copy.data(), there.data(), 8); }), "no error");
}

TEST_F(Runtime, LaunchesWithAsMuchSharedMemoryAsABlockMayHave) {
  Device device = cuda::open_device(0);
  Stream stream(device);
  const DeviceMemory to(device, 4);
  const auto before = strict_counts().launches;
  for (const std::size_t kibibytes : {0U, 40U, 64U, 99U, 8U}) {
    launch_some_kernel(stream, as<unsigned>(to), 3, kibibytes << 10);
  }
  EXPECT_EQ(strict_counts().launches - before, 5U);
  EXPECT_NE(error_of([&] { launch_some_kernel(stream, as<unsigned>(to), 3, 100 << 10); }), "no error");
  EXPECT_NE(error_of([&] { launch_some_kernel(stream, as<unsigned>(to), 65536, 0); }), "no error");
}

TEST_F(Runtime, RecordsGraphsAndLaunchesThem) {
  Device device = cuda::open_device(0);
  Stream stream(device);
  const DeviceMemory to(device, 16);
  const auto before = strict_counts();
  const auto free_bytes = device.memory().free_bytes;
  {
    cuda::GraphBudget budget{std::uint64_t{6} << 20, 0, {}};
    cuda::GraphCache cache(budget);
    for (const std::uint32_t rows : {1U, 2U, 1U, 1U}) {
      cache.run(stream, {nullptr, rows, 256}, [&] {
        stream.fill(to.data(), 5, 8);
        launch_some_kernel(stream, as<unsigned>(to), 1, 80 << 10);
      });
    }
    EXPECT_EQ(budget.used_bytes, std::uint64_t{4} << 20)
        << "pages of one graph; another one would be too many";
    EXPECT_EQ(strict_counts().graph_launches - before.graph_launches, 3U);
    EXPECT_EQ(strict_counts().launches - before.launches, 4U);
    EXPECT_EQ(download<std::uint8_t>(device, stream, to, 8), std::vector<std::uint8_t>(8, 5));
  }
  EXPECT_EQ(device.memory().free_bytes, free_bytes);
}

TEST_F(Runtime, ACaptureThatAllocatesFailsAndLeavesTheStreamAsItWas) {
  Device device = cuda::open_device(0);
  Stream stream(device);
  const auto allocate = [&] { stream.capture([&] { const DeviceMemory memory(device, 64); }); };
  EXPECT_NE(error_of(allocate).find("operation not permitted when stream is capturing"), std::string::npos);
  const auto wait = [&] { stream.capture([&] { stream.synchronise(); }); };
  EXPECT_NE(error_of(wait), "no error");
  const auto graph = stream.capture([&] {});
  stream.launch(graph);
  stream.synchronise();
}

TEST_F(Runtime, OtherThreadsMayAllocateDuringACapture) {
  Device device = cuda::open_device(0);
  Stream stream(device), other(device);
  const DeviceMemory to(device, 16);
  const auto graph = stream.capture([&] {
    stream.fill(to.data(), 5, 8);
    std::thread([&] {
      const DeviceMemory memory(device, 64);
      const PinnedMemory pinned(device, 64);
      other.copy_to_device(memory.data(), pinned.data(), 64);
      other.record().synchronise();
    }).join();
  });
  stream.launch(graph);
  stream.synchronise();
}

TEST_F(Runtime, APartOfAGpuHasItsOwnStreamsEventsAndGraphs) {
  Device device = cuda::open_device(0, 9);
  EXPECT_EQ(device.properties().multiprocessors, 16U) << "the next multiple of eight";
  const auto before = strict_counts();
  Stream stream(device), copies(device);
  const DeviceMemory to(device, 16);
  launch_some_kernel(stream, as<unsigned>(to), 1, 80 << 10);
  copies.wait(stream.record());
  copies.fill(to.data(), 3, 16);
  stream.wait(copies.record());
  const auto graph = stream.capture([&] { launch_some_kernel(stream, as<unsigned>(to), 1, 0); });
  stream.launch(graph);
  stream.launch(graph);
  EXPECT_EQ(strict_counts().launches_on_part - before.launches_on_part, 3U);
  EXPECT_EQ(strict_counts().launches - before.launches, 3U);
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&device] {
      Stream its(device);
      for (int n = 0; n < 100; ++n) its.record().synchronise();
    });
  }
  for (auto& thread : threads) thread.join();
}

TEST_F(Runtime, APartThatCannotBeIsAnError) {
  EXPECT_NE(error_of([] { cuda::open_device(0, 1000); }).find("cuDevSmResourceSplitByCount"),
            std::string::npos);
  strict_cuda().has_green_contexts = false;
  EXPECT_EQ(error_of([] { cuda::open_device(0, 16); }),
            "part of a GPU: the driver has no cuDeviceGetDevResource");
}

TEST_F(Runtime, SeveralThreadsLoad) {
  for (const std::uint32_t multiprocessors : {0U, 16U}) {
    Device device = cuda::open_device(0, multiprocessors);
    Stream stream(device);
    const PinnedMemory pinned(device, 1 << 20);
    const DeviceMemory memory(device, 4000);
    cuda::LoadBuffer buffer(pinned.data(), pinned.bytes());
    std::vector<std::thread> threads;
    for (std::uint8_t i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        for (std::size_t n = 0; n < 10; ++n) {
          buffer.send(stream, {{memory.data() + 1000 * i + 100 * n, 0, 100}},
                      [i](std::byte* to) { std::memset(to, i, 100); });
        }
      });
    }
    for (auto& thread : threads) thread.join();
    const auto there = download<std::uint8_t>(device, stream, memory, 4000);
    for (std::size_t i = 0; i < there.size(); ++i) ASSERT_EQ(there[i], i / 1000);
  }
}

TEST_F(Runtime, MemoryThatIsNotThereIsAnError) {
  Device device = cuda::open_device(0);
  EXPECT_EQ(error_of([&] { const DeviceMemory memory(device, std::size_t{17} << 30); }),
            "device memory of 18253611008 bytes: an error's text (cudaErrorMemoryAllocation)");
}

}  // namespace
}  // namespace tandem::cuda_test
