#include "backends/cuda/load_buffer.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda {
namespace {

constexpr std::uint64_t kMebibyte = std::uint64_t{1} << 20;

std::vector<std::uint8_t> random_bytes(std::size_t n) {
  std::mt19937 random(1);
  std::vector<std::uint8_t> bytes(n);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

/// `source`, after `threads` threads have sent it in pieces of `piece_bytes` through a buffer of
/// `buffer_bytes`.
std::vector<std::uint8_t> sent(Device device, const std::vector<std::uint8_t>& source,
                               std::uint64_t buffer_bytes, std::uint64_t piece_bytes, unsigned threads) {
  Stream stream(device);
  const PinnedMemory pinned(device, buffer_bytes);
  const DeviceMemory memory(device, source.size());
  LoadBuffer buffer(pinned.data(), pinned.bytes());
  EXPECT_LE(piece_bytes, buffer.chunk_bytes());
  std::atomic<std::uint64_t> next = 0;
  const auto work = [&] {
    while (true) {
      const auto at = next.fetch_add(piece_bytes);
      if (at >= source.size()) return;
      const auto bytes = std::min(piece_bytes, source.size() - at);
      buffer.send(stream, {{memory.data() + at, 0, bytes}},
                  [&](std::byte* to) { std::memcpy(to, source.data() + at, bytes); });
    }
  };
  {
    std::vector<std::jthread> others;
    for (unsigned i = 0; i < threads; ++i) others.emplace_back(work);
  }
  return cuda_test::download<std::uint8_t>(device, stream, memory, source.size());
}

TEST(LoadBuffer, WhatSeveralThreadsSendIsThere) {
  const auto source = random_bytes(3 * kMebibyte + 17);
  const auto little = random_bytes(20'000);
  const auto open = [](std::uint64_t seed) { return cuda_test::open_test_device({.seed = seed}); };
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    EXPECT_TRUE(sent(open(seed), source, 2 * kMebibyte, 100'000, 3) == source) << "fewer threads than chunks";
    EXPECT_TRUE(sent(open(seed), source, kMebibyte, 100'000, 6) == source) << "more threads than chunks";
  }
  EXPECT_TRUE(sent(open(0), little, 1024, 210, 2) == little)
      << "the smallest buffer carries a block of any type";
}

#ifndef TANDEM_ON_GPU
TEST(LoadBuffer, CopiesThatRunBesideTheThreadsThatSendArriveToo) {
  const auto source = random_bytes(3 * kMebibyte + 17);
  for (std::uint64_t seed = 0; seed < 4; ++seed) {
    auto device = emulation::make_device({.seed = seed, .guarded = false});
    EXPECT_TRUE(sent(std::move(device), source, 2 * kMebibyte, 100'000, 6) == source) << seed;
  }
}
#endif

#ifndef TANDEM_ON_GPU  // a GPU does not count what it was asked for
TEST(LoadBuffer, NobodyWaitsForACopyWhileThereIsAnotherChunk) {
  auto device = cuda_test::open_test_device({});
  Stream stream(device);
  const PinnedMemory pinned(device, 4 * kMebibyte);
  const DeviceMemory memory(device, kMebibyte);
  LoadBuffer buffer(pinned.data(), pinned.bytes());
  const auto waits_for = [&](int sends) {
    const auto before = emulation::counts(device.state()).synchronisations;
    for (int i = 0; i < sends; ++i) {
      buffer.send(stream, {{memory.data(), 0, 1000}}, [](std::byte* to) { std::memset(to, 7, 1000); });
    }
    return emulation::counts(device.state()).synchronisations - before;
  };
  EXPECT_EQ(waits_for(8), 0U);
  EXPECT_EQ(waits_for(5), 5U) << "each waits for the copy that went first of those under way";
}
#endif

TEST(LoadBuffer, AChunkGoesToSeveralPlaces) {
  auto device = cuda_test::open_test_device({});
  Stream stream(device);
  const PinnedMemory pinned(device, 2048);
  const DeviceMemory memory(device, 12);
  LoadBuffer buffer(pinned.data(), pinned.bytes());
  buffer.send(stream, {{memory.data() + 8, 0, 4}, {memory.data(), 5, 3}, {memory.data() + 3, 4, 5}},
              [](std::byte* to) { std::memcpy(to, "012345678", 9); });
  const auto there = cuda_test::download<char>(device, stream, memory, 12);
  EXPECT_EQ(std::string(there.begin(), there.end()), "567456780123");
}

#ifndef TANDEM_ON_GPU  // it fails when it wants to
TEST(LoadBuffer, AChunkIsNotFilledAgainWhileACopyOfASendThatFailedIsUnderWay) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    auto device = cuda_test::open_test_device({.seed = seed});
    Stream stream(device);
    const PinnedMemory pinned(device, 2048);
    const DeviceMemory memory(device, 8);
    LoadBuffer buffer(pinned.data(), pinned.bytes());
    const auto fill = [](std::byte* to) { std::memset(to, 7, 8); };
    emulation::fail_call(device.state(), 2);
    EXPECT_THROW(buffer.send(stream, {{memory.data(), 0, 4}, {memory.data() + 4, 4, 4}}, fill), DeviceError);
    for (int i = 0; i < 3; ++i) buffer.send(stream, {{memory.data(), 0, 8}}, fill);
    stream.synchronise();
  }
}
#endif

TEST(LoadBuffer, AChunkThatCouldNotBeFilledIsFreeAgain) {
  auto device = cuda_test::open_test_device({});
  Stream stream(device);
  const PinnedMemory pinned(device, 2048);
  const DeviceMemory memory(device, 2048);
  LoadBuffer buffer(pinned.data(), pinned.bytes());
  for (int i = 0; i < 5; ++i) {
    const auto refuse = [](std::byte*) { throw std::out_of_range("no more"); };
    EXPECT_THROW(buffer.send(stream, {{memory.data(), 0, 8}}, refuse), std::out_of_range);
  }
  buffer.send(stream, {{memory.data(), 0, 8}}, [](std::byte* to) { std::memset(to, 7, 8); });
  const auto there = cuda_test::download<std::uint8_t>(device, stream, memory, 8);
  EXPECT_EQ(there, std::vector<std::uint8_t>(8, 7));
}

}  // namespace
}  // namespace tandem::cuda
