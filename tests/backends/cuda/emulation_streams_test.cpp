// Streams, events, graphs and memory of the emulated device.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/launch.cuh"
#include "tests/backends/cuda/emulated.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceError;
using cuda::DeviceMemory;
using cuda::Event;
using cuda::Graph;
using cuda::launch;
using cuda::PinnedMemory;
using cuda::Stream;
using testing::HasSubstr;
using testing::ThrowsMessage;

constexpr std::size_t kPage = 4096;

__global__ void add_one(std::uint32_t* to) {
  to[threadIdx.x] += 1;
}

__global__ void double_it(std::uint32_t* to) {
  to[threadIdx.x] *= 2;
}

std::uint32_t first_word(Device& device, Stream& stream, const DeviceMemory& memory) {
  return download<std::uint32_t>(device, stream, memory, 1)[0];
}

TEST(Streams, KeepTheirOrder) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Device device = cuda::emulation::make_device({.seed = seed});
    Stream stream(device);
    const DeviceMemory memory(device, 128);
    stream.fill(memory.data(), 0, 128);
    launch(stream, {"add_one", 1, 32}, add_one, as<std::uint32_t>(memory));
    launch(stream, {"double_it", 1, 32}, double_it, as<std::uint32_t>(memory));
    launch(stream, {"add_one", 1, 32}, add_one, as<std::uint32_t>(memory));
    EXPECT_EQ(first_word(device, stream, memory), 3u);
  }
}

/// Two streams work on one value; `ordered` puts an event between them.
std::uint32_t work_in_two_streams(std::uint64_t seed, bool ordered) {
  Device device = cuda::emulation::make_device({.seed = seed});
  Stream first(device);
  Stream second(device);
  const DeviceMemory memory(device, 128);
  first.fill(memory.data(), 0, 128);
  first.synchronise();
  launch(first, {"add_one", 1, 32}, add_one, as<std::uint32_t>(memory));
  if (ordered) second.wait(first.record());
  launch(second, {"double_it", 1, 32}, double_it, as<std::uint32_t>(memory));
  device.synchronise();
  return first_word(device, second, memory);
}

TEST(Streams, EventsOrderThemForEverySeed) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) EXPECT_EQ(work_in_two_streams(seed, true), 2u) << seed;
}

TEST_F(PlantedMistake, MissingEventShowsForSomeSeeds) {
  std::uint32_t wrong = 0;
  for (std::uint64_t seed = 0; seed < 50; ++seed) wrong += work_in_two_streams(seed, false) != 2 ? 1 : 0;
  EXPECT_GE(wrong, 5u);
  EXPECT_LE(wrong, 45u);
}

TEST(Streams, WaitingForAnEventWaitsForWhatComesBefore) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Device device = cuda::emulation::make_device({.seed = seed});
    Stream first(device);
    Stream second(device);
    const DeviceMemory memory(device, kPage);
    const PinnedMemory result(device, kPage);
    first.fill(memory.data(), 5, kPage);
    second.wait(first.record());
    second.copy_to_host(result.data(), memory.data(), kPage);
    const Event copied = second.record();
    second.fill(memory.data(), 6, kPage);
    copied.synchronise();
    EXPECT_EQ(result.data()[kPage - 1], std::byte{5});
  }
}

TEST(Streams, AnEventThatNobodyRecordedIsPassed) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  stream.wait(Event());
  Event().synchronise();
  EXPECT_NO_THROW(stream.synchronise());
}

/// Reads or writes pinned memory right after a copy was put into a stream.
void touch_too_early(std::uint64_t seed, bool to_host) {
  Device device = cuda::emulation::make_device({.seed = seed});
  Stream stream(device);
  const DeviceMemory memory(device, kPage);
  const PinnedMemory pinned(device, kPage);
  if (to_host) {
    stream.copy_to_host(pinned.data(), memory.data(), kPage);
    std::printf("%d", static_cast<int>(pinned.data()[17]));
  } else {
    stream.copy_to_device(memory.data(), pinned.data(), kPage);
    pinned.data()[17] = std::byte{1};
  }
}

TEST_F(PlantedMistake, MissingStreamSynchronisationIsReportedForEverySeed) {
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    EXPECT_DEATH(touch_too_early(seed, true),
                 "host access to pinned memory that unfinished work uses, byte 17 of 4096");
    EXPECT_DEATH(touch_too_early(seed, false),
                 "host access to pinned memory that unfinished work uses, byte 17 of 4096");
  }
}

TEST(Streams, PinnedMemoryIsTheHostsAgainAfterSynchronisation) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Device device = cuda::emulation::make_device({.seed = seed});
    Stream stream(device);
    const DeviceMemory memory(device, 2 * kPage);
    const PinnedMemory pinned(device, 2 * kPage);
    pinned.data()[0] = std::byte{1};
    stream.copy_to_device(memory.data(), pinned.data(), kPage);
    EXPECT_EQ(pinned.data()[0], std::byte{1}) << "reading is allowed";
    pinned.data()[kPage] = std::byte{2};  // the copy does not touch it
    stream.copy_to_host(pinned.data() + kPage, memory.data(), kPage);
    stream.synchronise();
    EXPECT_EQ(pinned.data()[kPage], std::byte{1});
    pinned.data()[0] = std::byte{3};
  }
}

TEST(Streams, CopiesNeedPinnedAndDeviceMemory) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  const DeviceMemory memory(device, 64);
  const PinnedMemory pinned(device, 64);
  std::vector<std::byte> pageable(64);
  EXPECT_THROW(stream.copy_to_device(memory.data(), pageable.data(), 64), DeviceError);
  EXPECT_THROW(stream.copy_to_host(pinned.data(), pageable.data(), 64), DeviceError);
  EXPECT_THROW(stream.copy_to_device(memory.data() + 32, pinned.data(), 33), DeviceError);
  EXPECT_THROW(stream.fill(memory.data(), 0, 65), DeviceError);
  EXPECT_NO_THROW(stream.copy_to_device(memory.data(), pinned.data(), 64));
}

TEST(Graphs, RunWhatWasRecordedAndNothingBefore) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Device device = cuda::emulation::make_device({.seed = seed});
    Stream stream(device);
    const DeviceMemory memory(device, 128);
    stream.fill(memory.data(), 0, 128);
    const Graph graph = stream.capture([&] {
      launch(stream, {"add_one", 1, 32}, add_one, as<std::uint32_t>(memory));
      launch(stream, {"double_it", 1, 32}, double_it, as<std::uint32_t>(memory));
    });
    EXPECT_EQ(first_word(device, stream, memory), 0u);
    for (int i = 0; i < 3; ++i) stream.launch(graph);
    EXPECT_EQ(first_word(device, stream, memory), 14u);
  }
}

TEST_F(PlantedMistake, TouchingWhatAGraphCopiesIsReported) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  const DeviceMemory memory(device, kPage);
  const PinnedMemory pinned(device, kPage);
  const Graph graph = stream.capture([&] { stream.copy_to_device(memory.data(), pinned.data(), kPage); });
  pinned.data()[0] = std::byte{7};  // nothing runs yet
  stream.launch(graph);
  EXPECT_DEATH(pinned.data()[0] = std::byte{8}, "unfinished work");
  EXPECT_EQ(first_word(device, stream, memory), 7u);
}

TEST(Graphs, RefuseSynchronisationInside) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  EXPECT_THROW(stream.capture([&] { stream.synchronise(); }), DeviceError);
  EXPECT_THROW(stream.capture([&] { device.synchronise(); }), DeviceError);
  EXPECT_NO_THROW(stream.synchronise());
}

TEST(Graphs, RefuseAllocatingAndFreeingInside) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  EXPECT_THROW(stream.capture([&] { DeviceMemory(device, 64); }), DeviceError);
  EXPECT_THROW(stream.capture([&] { PinnedMemory(device, 64); }), DeviceError);
  DeviceMemory memory(device, 64);
  EXPECT_THROW(stream.capture([&] { const DeviceMemory freed = std::move(memory); }), DeviceError);
  EXPECT_NO_THROW(stream.capture([&] {}));
}

TEST(DeviceMemory, IsLimited) {
  Device device = cuda::emulation::make_device({.memory_bytes = 1000});
  EXPECT_EQ(device.memory().total_bytes, 1000u);
  {
    const DeviceMemory most(device, 900);
    EXPECT_EQ(device.memory().free_bytes, 100u);
    EXPECT_THAT([&] { DeviceMemory(device, 101); },
                ThrowsMessage<DeviceError>(HasSubstr("101 bytes refused, 100 of 1000 are free")));
  }
  EXPECT_NO_THROW(DeviceMemory(device, 1000));
}

TEST(DeviceMemory, MovesWithItsOwner) {
  Device device = cuda::emulation::make_device({.memory_bytes = 1000});
  DeviceMemory a(device, 600);
  DeviceMemory b = std::move(a);
  a = DeviceMemory(device, 400);
  EXPECT_EQ(b.bytes(), 600u);
  EXPECT_EQ(device.memory().free_bytes, 0u);
  b = DeviceMemory();
  EXPECT_EQ(device.memory().free_bytes, 600u);
}

/// Allocates, copies, captures, launches: nine calls.
void nine_calls(Device& device) {
  Stream stream(device);
  const DeviceMemory memory(device, 128);
  const PinnedMemory pinned(device, 128);
  stream.copy_to_device(memory.data(), pinned.data(), 128);
  stream.fill(memory.data(), 1, 128);
  launch(stream, {"add_one", 1, 32}, add_one, as<std::uint32_t>(memory));
  const Graph graph = stream.capture([&] {
    launch(stream, {"double_it", 1, 32}, double_it, as<std::uint32_t>(memory));
  });
  stream.launch(graph);
  stream.copy_on_device(memory.data(), memory.data() + 64, 64);
  stream.copy_to_host(pinned.data(), memory.data(), 128);
  stream.synchronise();
}

TEST(FailingCall, AnyAllocationCopyOrLaunchCanFail) {
  Device device = cuda::emulation::make_device({});
  EXPECT_NO_THROW(nine_calls(device));
  ASSERT_EQ(cuda::emulation::calls(device), 9u);
  for (std::uint64_t call = 1; call <= 9; ++call) {
    Device failing = cuda::emulation::make_device({.memory_bytes = 1 << 20, .failing_call = call});
    EXPECT_THAT([&] { nine_calls(failing); },
                ThrowsMessage<DeviceError>(HasSubstr("call " + std::to_string(call) + " (")));
    EXPECT_NO_THROW(nine_calls(failing)) << "one call fails, the device lives";
    EXPECT_EQ(failing.memory().free_bytes, failing.memory().total_bytes);
  }
}

}  // namespace
}  // namespace tandem::cuda_test
