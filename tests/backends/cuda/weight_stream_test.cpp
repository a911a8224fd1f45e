// Weights that stay on the host and pass through two buffers on the device.

#include "backends/cuda/weight_stream.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/plane_layout.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/placed_model.h"
#include "tests/backends/cuda/test_device.h"
#ifndef TANDEM_ON_GPU
#include "backends/cuda/launch.cuh"
#endif

namespace tandem::cuda_test {
namespace {

using cuda::HostPiece;
using cuda::WeightStream;
using device::BlockType;
using test_support::Chunk;
using test_support::CpuModelOptions;

constexpr std::uint64_t kBufferBytes = 8192;

/// A piece as it has to lie on the device: planes, and the norm from a multiple of 64 on.
struct Expected {
  std::vector<std::byte> planes;
  std::vector<std::byte> norm;

  [[nodiscard]] std::size_t norm_at() const { return (planes.size() + 63) / 64 * 64; }
  [[nodiscard]] std::size_t bytes() const { return norm_at() + norm.size(); }
};

Expected expected_of(const HostPiece& piece) {
  const auto layout = cuda::plane_layout(piece.matrix.type);
  const std::size_t blocks = std::size_t{piece.matrix.in} / layout.block_elems * piece.matrix.out;
  const auto* source = static_cast<const std::byte*>(piece.matrix.data);
  Expected expected;
  for (const auto& part : layout.parts) {
    for (std::size_t b = 0; b < blocks && part.bytes > 0; ++b) {
      const auto* from = source + b * layout.block_bytes + part.at;
      expected.planes.insert(expected.planes.end(), from, from + part.bytes);
    }
  }
  const auto* norm = reinterpret_cast<const std::byte*>(piece.norm);
  expected.norm.assign(norm, norm + piece.norm_elems * sizeof(float));
  return expected;
}

/// Pieces of several types, of random bytes.
struct Pieces {
  explicit Pieces(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    constexpr BlockType kTypes[] = {BlockType::q4_0, BlockType::q6_k, BlockType::f16,  BlockType::q5_1,
                                    BlockType::q4_k, BlockType::f32,  BlockType::mxfp4};
    for (const auto type : kTypes) {
      const std::uint32_t in = 256, out = 1 + static_cast<std::uint32_t>(random() % 7);
      const auto layout = cuda::plane_layout(type);
      auto& bytes = memory.emplace_back(std::size_t{in} / layout.block_elems * out * layout.block_bytes);
      for (auto& byte : bytes) byte = static_cast<std::byte>(random());
      auto& norm = norms.emplace_back(40);
      for (auto& value : norm) value = static_cast<float>(random() % 1000);
      pieces.push_back({{bytes.data(), type, in, out}, norm.data(), static_cast<std::uint32_t>(norm.size())});
    }
  }

  std::vector<std::vector<std::byte>> memory;
  std::vector<std::vector<float>> norms;
  std::vector<HostPiece> pieces;
};

class WeightStreams : public testing::TestWithParam<std::uint64_t> {
 protected:
  std::unique_ptr<WeightStream> make_stream(std::uint64_t pinned_bytes) {
    device::StreamBuffers buffers;
    buffers.bytes = kBufferBytes;
    buffers.pinned_bytes = pinned_bytes;
    for (std::size_t i = 0; i < 2; ++i) {
      memory_.emplace_back(device_, kBufferBytes);
      buffers.on_device[i] = memory_.back().data();
    }
    pinned_.emplace_back(device_, pinned_bytes);
    buffers.pinned = pinned_.back().data();
    auto weights = std::make_unique<WeightStream>(device_);
    weights->set_buffers(buffers);
    return weights;
  }

  cuda::Device device_ = open_test_device({.seed = GetParam()});
  cuda::Stream stream_{device_};
  std::vector<cuda::DeviceMemory> memory_;
  std::vector<cuda::PinnedMemory> pinned_;
};

TEST_P(WeightStreams, PiecesAreThereWhenTheyAreUsedAndStayUntilThen) {
  const Pieces made(GetParam());
  auto weights = make_stream(512 + GetParam() * 600);
  for (const auto& piece : made.pieces) weights->add(piece);
  std::vector<cuda::DeviceMemory> taken;
  std::vector<std::size_t> order;
  std::mt19937_64 random(GetParam());
  for (int round = 0; round < 24; ++round) {
    // Mostly one after the other, as they were added.
    const std::size_t after = order.empty() ? 0 : (order.back() + 1) % made.pieces.size();
    const std::size_t number = random() % 4 == 0 ? random() % made.pieces.size() : after;
    if (!order.empty() && order.back() == number) continue;
    const auto bytes = expected_of(made.pieces[number]).bytes();
    const auto there = weights->bring(number, stream_);
    taken.emplace_back(device_, bytes);
    stream_.copy_on_device(taken.back().data(), there.matrix, bytes);
    weights->let_go(number, stream_);
    order.push_back(number);
    if (random() % 3 == 0) weights->bring_next();
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    const auto expected = expected_of(made.pieces[order[i]]);
    const auto bytes = download<std::byte>(device_, stream_, taken[i], expected.bytes());
    ASSERT_TRUE(std::ranges::equal(std::span(bytes).first(expected.planes.size()), expected.planes)) << i;
    ASSERT_TRUE(std::ranges::equal(std::span(bytes).subspan(expected.norm_at()), expected.norm)) << i;
  }
}

#ifndef TANDEM_ON_GPU  // a GPU does not count what it was asked for
TEST_P(WeightStreams, APieceThatIsThereIsNotCopiedAgain) {
  const Pieces made(GetParam());
  auto weights = make_stream(2 * kBufferBytes);
  for (const auto& piece : made.pieces) weights->add(piece);
  weights->bring(2, stream_);
  weights->let_go(2, stream_);
  weights->bring_next();
  const auto calls = cuda::emulation::calls(device_);
  weights->bring(3, stream_);
  EXPECT_EQ(cuda::emulation::calls(device_), calls);
}
#endif

TEST_P(WeightStreams, WhatIsLargerThanABufferIsRefused) {
  const std::vector<std::byte> bytes(3 * kBufferBytes);
  auto weights = make_stream(512);
  const HostPiece fits{{bytes.data(), BlockType::f32, 256, 8}, nullptr, 0};
  const std::vector<float> norm(1);
  const HostPiece does_not{{bytes.data(), BlockType::f32, 256, 8}, norm.data(), 1};
  EXPECT_NO_THROW(weights->add(fits));
  EXPECT_THROW(weights->add(does_not), std::invalid_argument);
}

INSTANTIATE_TEST_SUITE_P(Seeds, WeightStreams, testing::Range<std::uint64_t>(0, kSeeds));

#ifndef TANDEM_ON_GPU  // nor does it end when a seed says so
/// Says that it ran.
__global__ void tell(bool* ended) {
  *ended = true;
}

TEST(WeightStreamOverlap, TheNextCopyIsEnqueuedBeforeTheComputationEnds) {
  // The host waits for pinned memory, and so for the buffer that the copy goes to, but never for what is
  // computed with the other one.  Whether that has ended by then is up to the seed.
  constexpr std::size_t kPieces = 7;
  std::vector<int> still_computing(kPieces - 1);
  for (std::uint64_t seed = 0; seed < 64; ++seed) {
    auto device = open_test_device({.seed = seed});
    cuda::Stream stream(device);
    const cuda::DeviceMemory first(device, kBufferBytes), second(device, kBufferBytes);
    const cuda::PinnedMemory pinned(device, 1024);
    WeightStream weights(device);
    weights.set_buffers({{first.data(), second.data()}, kBufferBytes, pinned.data(), 1024});
    const Pieces made(seed);
    for (const auto& piece : made.pieces) weights.add(piece);
    const cuda::PinnedMemory flags(device, kPieces);
    const std::span ended(reinterpret_cast<bool*>(flags.data()), kPieces);
    for (std::size_t i = 0; i < kPieces; ++i) {
      weights.bring(i, stream);
      if (i > 0 && !ended[i - 1]) ++still_computing[i - 1];
      cuda::launch(stream, {"tell", dim3(1), dim3(1)}, tell, &ended[i]);
      weights.let_go(i, stream);
    }
    stream.synchronise();
    EXPECT_EQ(std::ranges::count(ended, true), static_cast<std::ptrdiff_t>(kPieces));
  }
  for (const int times : still_computing) EXPECT_GT(times, 0);
}
#endif

class StreamedStage : public testing::TestWithParam<const char*> {};

/// Logits of 28 tokens of one sequence in chunks of 9 beside another's.
std::vector<float> two_sequences(PlacedModel& model) {
  std::vector<std::int32_t> tokens(28);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 11 * i % 47);
  const std::span<const std::int32_t> all(tokens);
  std::vector<float> logits;
  for (std::size_t at = 0; at < all.size(); at += 9) {
    const std::size_t n = std::min<std::size_t>(9, all.size() - at);
    const Chunk chunks[] = {{0, at, all.subspan(at, n)}, {1, at, all.subspan(0, n)}};
    const auto some = model.step(chunks);
    logits.insert(logits.end(), some.begin(), some.end());
  }
  return logits;
}

TEST_P(StreamedStage, GivesTheBitsThatWeightsOnTheDeviceGive) {
  CpuModelOptions options;
  options.kv_type = device::KvType::f16;
  options.max_seq_len = 48;
  options.sequences = 2;
  options.micro_batch = 24;
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  PlacedModel resident(GetParam(), options, {kAll, true}, {.seed = 1});
  const auto expected = two_sequences(resident);
  // All of them, some between others, and with attention halves on the CPU in between.
  for (const std::uint64_t streamed : {kAll, std::uint64_t{0b1000'0010}, std::uint64_t{0b0010'1010}}) {
    PlacedModel model(GetParam(), options, {kAll, true, 0, streamed}, {.seed = streamed % 101});
    ASSERT_EQ(two_sequences(model), expected) << std::hex << streamed;
  }
  constexpr std::uint64_t kFfn = 0xaaaa'aaaa'aaaa'aaaa;
  PlacedModel halves(GetParam(), options, {kFfn, true}, {.seed = 6});
  PlacedModel streamed_halves(GetParam(), options, {kFfn, true, std::uint64_t{1} << 20, kFfn}, {.seed = 7});
  EXPECT_EQ(two_sequences(streamed_halves), two_sequences(halves));
#ifndef TANDEM_ON_GPU
  EXPECT_EQ(streamed_halves.counts().captures, 0u) << "a graph cannot wait for the host";
#endif
}

TEST(StreamedAttention, IsRefused) {
  constexpr std::uint64_t kStepBytes = 4096;
  const auto accelerator = cuda::make_accelerator(open_test_device({}));
  accelerator->set_step_buffers(
      {accelerator->allocate(kStepBytes), accelerator->allocate_pinned(kStepBytes), kStepBytes, 0, 0});
  device::Unit unit;
  unit.streamed = true;
  try {
    accelerator->make_stage(&unit, 1, {64, 1e-6f, 4}, {});
    FAIL() << "it was taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(error.what(), "CUDA stage: only FFN halves can be streamed");
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, StreamedStage, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
