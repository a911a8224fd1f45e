#include "backends/cuda/upload_buffer.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <random>
#include <span>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/plane_layout.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda {
namespace {

constexpr std::uint64_t kBufferBytes = std::uint64_t{1} << 20;

std::vector<std::uint8_t> random_bytes(std::mt19937& random, std::size_t n) {
  std::vector<std::uint8_t> bytes(n);
  for (auto& byte : bytes) byte = static_cast<std::uint8_t>(random());
  return bytes;
}

TEST(UploadBuffer, WhatIsSentIsThereInOrder) {
  std::mt19937 random(1);
  auto device = cuda_test::open_test_device({.seed = 5});
  Stream stream(device);
  const PinnedMemory pinned(device, kBufferBytes);
  constexpr std::uint64_t kItemBytes = 18;
  const auto source = random_bytes(random, 5 * kBufferBytes / kItemBytes * kItemBytes);
  const DeviceMemory memory(device, source.size());
  {
    UploadBuffer buffer(pinned.data(), pinned.bytes());
    for (std::size_t at = 0; at < source.size();) {
      const auto most = std::min(buffer.half_bytes(), source.size() - at) / kItemBytes;
      const auto n = random() % 4 == 0 ? 1 : 1 + random() % most;  // little, and much by several threads
      buffer.send(stream, memory.data() + at, n, kItemBytes,
                  [&](std::uint64_t first, std::uint64_t items, std::byte* to) {
                    std::memcpy(to, source.data() + at + first * kItemBytes, items * kItemBytes);
                  });
      at += n * kItemBytes;
    }
  }
  EXPECT_EQ(cuda_test::download<std::uint8_t>(device, stream, memory, source.size()), source);
}

#ifndef TANDEM_ON_GPU  // a GPU does not count what it was asked for
TEST(UploadBuffer, OneHalfIsFilledWhileTheOtherIsCopied) {
  auto device = cuda_test::open_test_device({});
  Stream stream(device);
  const PinnedMemory pinned(device, kBufferBytes);
  const DeviceMemory memory(device, kBufferBytes);
  UploadBuffer buffer(pinned.data(), pinned.bytes());
  const auto waits_for = [&](int sends) {
    const auto before = emulation::counts(device.state()).synchronisations;
    for (int i = 0; i < sends; ++i) {
      buffer.send(stream, memory.data(), 1000, 1,
                  [](std::uint64_t, std::uint64_t n, std::byte* to) { std::memset(to, 7, n); });
    }
    return emulation::counts(device.state()).synchronisations - before;
  };
  EXPECT_EQ(waits_for(2), 0U);
  EXPECT_EQ(waits_for(5), 5U) << "each waits for the copy before the last";
}
#endif

/// Planes as plane_layout.h describes them, byte by byte.
std::vector<std::uint8_t> planes_of(const PlaneLayout& layout, const std::vector<std::uint8_t>& blocks) {
  std::vector<std::uint8_t> planes;
  for (const auto& part : layout.parts) {
    for (std::size_t block = 0; part.bytes > 0 && block < blocks.size(); block += layout.block_bytes) {
      const auto first = blocks.begin() + static_cast<std::ptrdiff_t>(block + part.at);
      planes.insert(planes.end(), first, first + part.bytes);
    }
  }
  return planes;
}

using device::BlockType;
constexpr std::array kTypes{BlockType::f32,    BlockType::f16,    BlockType::q4_0, BlockType::q4_1,
                            BlockType::q5_0,   BlockType::q5_1,   BlockType::q8_0, BlockType::q2_k,
                            BlockType::q3_k,   BlockType::q4_k,   BlockType::q5_k, BlockType::q6_k,
                            BlockType::iq4_nl, BlockType::iq4_xs, BlockType::bf16, BlockType::mxfp4};

TEST(TakeApart, TheFirstPartsComeBehindAllOthersInTheSameMemory) {
  std::mt19937 random(3);
  for (const auto type : kTypes) {
    const auto layout = plane_layout(type);
    for (const std::uint64_t n : {1U, 2U, 3U, 64U, 333U}) {
      const auto blocks = random_bytes(random, n * layout.block_bytes);
      auto expected = planes_of(layout, blocks);
      std::ranges::rotate(expected,
                          expected.begin() + static_cast<std::ptrdiff_t>(n * layout.parts[0].bytes));
      std::vector<std::uint8_t> memory(n * (layout.block_bytes + other_bytes(layout)) + 1, 0xee);
      std::ranges::copy(blocks, memory.begin() + static_cast<std::ptrdiff_t>(n * other_bytes(layout)));
      take_apart(layout, n, reinterpret_cast<std::byte*>(memory.data()));
      EXPECT_EQ(memory.back(), 0xee) << "nothing is written beyond the blocks";
      memory.resize(expected.size());
      EXPECT_EQ(memory, expected) << static_cast<std::uint32_t>(type) << ", " << n << " blocks";
    }
  }
}

TEST(GatherPart, EveryTypesPartsMakeItsPlanes) {
  std::mt19937 random(2);
  for (const auto type : kTypes) {
    const auto layout = plane_layout(type);
    constexpr std::uint64_t kBlocks = 7;
    const auto blocks = random_bytes(random, kBlocks * layout.block_bytes);
    std::vector<std::uint8_t> planes(blocks.size());
    auto* to = reinterpret_cast<std::byte*>(planes.data());
    for (const auto& part : layout.parts) {
      gather_part(layout, part, reinterpret_cast<const std::byte*>(blocks.data()), kBlocks, to);
      to += kBlocks * part.bytes;
    }
    EXPECT_EQ(planes, planes_of(layout, blocks)) << static_cast<std::uint32_t>(type);
  }
}

}  // namespace
}  // namespace tandem::cuda
