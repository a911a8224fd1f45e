// Kernels on the emulated device: what works, and that planted mistakes are reported.

#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/emulation/sanitizers.h"
#include "backends/cuda/launch.cuh"
#include "tests/backends/cuda/emulated.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceError;
using cuda::DeviceMemory;
using cuda::launch;
using cuda::Stream;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Runs `enqueue` on a device of its own and waits.
void on_device(std::uint64_t seed, const std::function<void(Device&, Stream&)>& enqueue) {
  Device device = cuda::emulation::make_device({.seed = seed});
  Stream stream(device);
  enqueue(device, stream);
  stream.synchronise();
}

// ---- what works

__global__ void number_threads(std::uint32_t* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] = 1000 * block + thread;
}

TEST(Emulation, RunsEveryThreadOfEveryBlockOnce) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    on_device(seed, [](Device& device, Stream& stream) {
      const DeviceMemory out(device, 12 * 64 * sizeof(std::uint32_t));
      launch(stream, {"number_threads", {2, 3, 2}, {4, 8, 2}}, number_threads, as<std::uint32_t>(out));
      const auto numbers = download<std::uint32_t>(device, stream, out, 12 * 64);
      for (std::uint32_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], i / 64 * 1000 + i % 64);
    });
  }
}

/// Sums of 256 values a block by a tree in shared memory, the block's number beside it in a variable.
__global__ void sum_blocks(const std::uint32_t* in, std::uint32_t* out) {
  auto& block = cuda::block_variable<std::uint32_t>();
  auto* sums = cuda::shared_memory<std::uint32_t>();
  if (threadIdx.x == 0) block = blockIdx.x;
  sums[threadIdx.x] = in[blockIdx.x * blockDim.x + threadIdx.x];
  for (unsigned n = blockDim.x / 2; n > 0; n /= 2) {
    cuda::sync_threads();
    if (threadIdx.x < n) sums[threadIdx.x] += sums[threadIdx.x + n];
  }
  if (threadIdx.x == blockDim.x - 1) out[block] = 0;
  cuda::sync_threads();
  if (threadIdx.x == 0) out[block] = sums[0];
}

TEST(Emulation, BarriersAndSharedMemoryGiveTheSameForEverySeed) {
  std::vector<std::uint32_t> in(16 * 256);
  std::iota(in.begin(), in.end(), 7);
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    on_device(seed, [&in](Device& device, Stream& stream) {
      const auto values = upload<std::uint32_t>(device, stream, in);
      const DeviceMemory out(device, 16 * sizeof(std::uint32_t));
      launch(stream, {"sum_blocks", 16, 256, 1024}, sum_blocks, as<const std::uint32_t>(values),
             as<std::uint32_t>(out));
      const auto sums = download<std::uint32_t>(device, stream, out, 16);
      for (std::uint32_t b = 0; b < 16; ++b) {
        EXPECT_EQ(sums[b], std::accumulate(in.begin() + 256 * b, in.begin() + 256 * (b + 1), 0u));
      }
    });
  }
}

/// Warps 0 and 1 produce, warps 2 and 3 consume: one arrives at a named barrier, the other waits there.
__global__ void hand_over(std::uint32_t* out) {
  auto* box = cuda::shared_memory<std::uint32_t>();
  if (threadIdx.x < 64) {
    box[threadIdx.x] = threadIdx.x + 1;
    cuda::arrive_named(3, 128);
  } else {
    cuda::sync_named(3, 128);
    out[threadIdx.x - 64] = box[127 - threadIdx.x];
  }
}

TEST(Emulation, NamedBarriersOrderProducersAndConsumers) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    on_device(seed, [](Device& device, Stream& stream) {
      const DeviceMemory out(device, 64 * sizeof(std::uint32_t));
      launch(stream, {"hand_over", 1, 128, 256}, hand_over, as<std::uint32_t>(out));
      const auto numbers = download<std::uint32_t>(device, stream, out, 64);
      for (std::uint32_t i = 0; i < 64; ++i) EXPECT_EQ(numbers[i], 64 - i);
    });
  }
}

__global__ void count(std::uint32_t* counter, std::uint32_t* largest, float* sum, std::uint32_t* last) {
  const std::uint32_t number = blockIdx.x * blockDim.x + threadIdx.x;
  cuda::atomic_add(sum, 0.5f);
  cuda::atomic_max(largest, number);
  cuda::fence_device();
  const std::uint32_t before = cuda::atomic_add(counter, 1u);
  if (before + 1 == gridDim.x * blockDim.x) cuda::atomic_exchange(last, *counter);
}

TEST(Emulation, AtomicsCountAcrossBlocks) {
  on_device(1, [](Device& device, Stream& stream) {
    const DeviceMemory out(device, 16);
    stream.fill(out.data(), 0, 16);
    auto* words = as<std::uint32_t>(out);
    launch(stream, {"count", 20, 64}, count, words, words + 1, as<float>(out) + 2, words + 3);
    const auto numbers = download<std::uint32_t>(device, stream, out, 4);
    EXPECT_EQ(numbers[0], 1280u);
    EXPECT_EQ(numbers[1], 1279u);
    EXPECT_EQ(std::bit_cast<float>(numbers[2]), 640.0f);
    EXPECT_EQ(numbers[3], 1280u);
  });
}

TEST(Emulation, NewMemoryIsNoZeros) {
  on_device(0, [](Device& device, Stream& stream) {
    const DeviceMemory memory(device, 8);
    EXPECT_TRUE(std::isnan(download<float>(device, stream, memory, 2)[1]));
  });
}

// ---- planted mistakes

/// Turns a block's values round; `kBarrier` false leaves the barrier out.
template <bool kBarrier>
__global__ void turn_round(std::uint32_t* out) {
  auto* box = cuda::shared_memory<std::uint32_t>();
  box[threadIdx.x] = threadIdx.x;
  if (kBarrier) cuda::sync_threads();
  out[threadIdx.x] = box[blockDim.x - 1 - threadIdx.x];
}

template <bool kBarrier>
std::uint32_t wrong_numbers(std::uint64_t seed) {
  std::uint32_t wrong = 0;
  on_device(seed, [&wrong](Device& device, Stream& stream) {
    const DeviceMemory out(device, 128 * sizeof(std::uint32_t));
    launch(stream, {"turn_round", 1, 128, 512}, turn_round<kBarrier>, as<std::uint32_t>(out));
    const auto numbers = download<std::uint32_t>(device, stream, out, 128);
    for (std::uint32_t i = 0; i < 128; ++i) wrong += numbers[i] != 127 - i ? 1 : 0;
  });
  return wrong;
}

#if defined(TANDEM_TSAN)
TEST_F(PlantedMistake, MissingBarrierIsADataRace) {
  EXPECT_EXIT((wrong_numbers<false>(0), std::exit(0)), testing::ExitedWithCode(66), "data race");
}
#else
TEST_F(PlantedMistake, MissingBarrierShowsForEverySeed) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    EXPECT_GT(wrong_numbers<false>(seed), 10u) << seed;
    EXPECT_EQ(wrong_numbers<true>(seed), 0u) << seed;
  }
}
#endif

__global__ void divergent_barrier() {
  if (threadIdx.x < 40) cuda::sync_threads();
}

__global__ void two_barriers() {
  if (threadIdx.x < 32) {  // NOLINT(bugprone-branch-clone): two barriers, that is the mistake
    cuda::sync_threads();
  } else {
    cuda::sync_threads();
  }
}

__global__ void divergent_shuffle(std::uint32_t* out) {
  if (threadIdx.x % 2 == 0) out[threadIdx.x / 8] = cuda::shuffle(threadIdx.x, 0);
}

__global__ void barrier_in_one_lane(std::uint32_t* out) {
  if (threadIdx.x == 0) {
    *out = cuda::shuffle(threadIdx.x, 0);
  } else {
    cuda::sync_warp();
  }
}

void launch_without_arguments(void (*kernel)(), unsigned threads) {
  on_device(0, [&](Device&, Stream& stream) { launch(stream, {"planted", 2, threads}, kernel); });
}

void launch_with_word(void (*kernel)(std::uint32_t*), std::size_t shared_bytes = 0) {
  on_device(0, [&](Device& device, Stream& stream) {
    const DeviceMemory out(device, 64);
    launch(stream, {"planted", 1, 64, shared_bytes}, kernel, as<std::uint32_t>(out));
    stream.synchronise();
  });
}

TEST_F(PlantedMistake, DivergentBarrierIsReported) {
  EXPECT_THAT([] { launch_without_arguments(divergent_barrier, 64); },
              ThrowsMessage<DeviceError>(HasSubstr("divergent barrier: threads 0 to 39 wait for a barrier at "
                                                   "emulation_test.cpp")));
  EXPECT_THAT([] { launch_without_arguments(divergent_barrier, 64); },
              ThrowsMessage<DeviceError>(HasSubstr("threads 40 to 63 have ended")));
  EXPECT_NO_THROW(launch_without_arguments(divergent_barrier, 32));
}

TEST_F(PlantedMistake, BarriersInDifferentPlacesAreReported) {
  EXPECT_THAT([] { launch_without_arguments(two_barriers, 64); },
              ThrowsMessage<DeviceError>(HasSubstr("divergent barrier: threads are at")));
}

TEST_F(PlantedMistake, DivergentWarpIsReported) {
  EXPECT_THAT([] { launch_with_word(divergent_shuffle); },
              ThrowsMessage<DeviceError>(HasSubstr("wait for a warp collective")));
  EXPECT_THAT([] { launch_with_word(barrier_in_one_lane); },
              ThrowsMessage<DeviceError>(HasSubstr("divergent warp")));
}

__global__ void load_unaligned(std::uint32_t* out) {
  if (threadIdx.x == 0) out[0] = cuda::load16(reinterpret_cast<const std::byte*>(out) + 4).x;
}

TEST_F(PlantedMistake, UnalignedLoadIsReported) {
  EXPECT_THAT([] { launch_with_word(load_unaligned); },
              ThrowsMessage<DeviceError>(HasSubstr("is not a multiple of 16")));
}

__global__ void take_null_for_device_memory(std::uint32_t* out) {
  out[threadIdx.x % 16] = cuda::on_device(threadIdx.x == 7 ? nullptr : out) != nullptr;
}

TEST_F(PlantedMistake, APointerThatIsSaidToBeOnTheDeviceAndIsNullIsReported) {
  EXPECT_THAT([] { launch_with_word(take_null_for_device_memory); },
              ThrowsMessage<DeviceError>(HasSubstr("null is not on the device")));
}

__global__ void write_at(std::uint32_t* out, std::int64_t at) {
  if (threadIdx.x == 5) out[at] = 1;
}

__global__ void read_at(std::uint32_t* out, std::int64_t at) {
  if (threadIdx.x == 5) out[0] = out[at];
}

__global__ void write_beyond_shared(std::uint32_t* out) {
  if (threadIdx.x == 0) cuda::shared_memory<std::uint32_t>()[3] = *out;
}

/// Index 3 of three, or -1, of a variable between two others.
template <int kIndex, bool kWrites>
__global__ void go_beyond_variable(std::uint32_t* out) {
  using Three = std::uint32_t[3];
  if (threadIdx.x != 0) return;
  cuda::block_variable<Three, 0>()[0] = 0;
  auto* three = cuda::block_variable<Three, 1>();
  cuda::block_variable<Three, 2>()[0] = 0;
  if (kWrites) three[kIndex] = *out;
  if (!kWrites) *out = three[kIndex];
}

void access(void (*kernel)(std::uint32_t*, std::int64_t), std::int64_t at) {
  on_device(0, [&](Device& device, Stream& stream) {
    const DeviceMemory out(device, 1000);
    launch(stream, {"access", 1, 32}, kernel, as<std::uint32_t>(out), at);
    stream.synchronise();
  });
}

TEST_F(PlantedMistake, AccessBesideDeviceMemoryIsReported) {
  EXPECT_NO_THROW(access(write_at, 249));
  EXPECT_DEATH(access(write_at, 256), "out-of-bounds access.*in kernel access.*thread \\(5,0,0\\)|Sanitizer");
  EXPECT_DEATH(access(read_at, 256), "out-of-bounds access|Sanitizer");
  EXPECT_DEATH(access(read_at, -1024), "out-of-bounds access|Sanitizer");
}

#if defined(TANDEM_ASAN)
TEST_F(PlantedMistake, TheFirstByteTooManyIsReported) {
  EXPECT_DEATH(access(write_at, 250), "use-after-poison");
  EXPECT_DEATH(access(read_at, 250), "use-after-poison");
  EXPECT_DEATH(launch_with_word(write_beyond_shared, 12), "use-after-poison");
  EXPECT_DEATH(launch_with_word(go_beyond_variable<3, true>), "use-after-poison");
  EXPECT_DEATH(launch_with_word(go_beyond_variable<-1, true>), "use-after-poison");
  EXPECT_DEATH(launch_with_word(go_beyond_variable<3, false>), "use-after-poison");
}
#else
TEST_F(PlantedMistake, WriteOfTheFirstByteTooManyIsReported) {
  EXPECT_THAT([] { access(write_at, 250); }, ThrowsMessage<DeviceError>(HasSubstr("out-of-bounds write")));
  EXPECT_THAT([] { access(write_at, -1); }, ThrowsMessage<DeviceError>(HasSubstr("out-of-bounds write")));
  EXPECT_THAT([] { launch_with_word(write_beyond_shared, 12); },
              ThrowsMessage<DeviceError>(HasSubstr("outside of its shared memory")));
  EXPECT_THAT([] { launch_with_word(go_beyond_variable<3, true>); },
              ThrowsMessage<DeviceError>(HasSubstr("outside of its shared memory")));
  EXPECT_THAT([] { launch_with_word(go_beyond_variable<-1, true>); },
              ThrowsMessage<DeviceError>(HasSubstr("outside of its shared memory")));
}
#endif

TEST_F(PlantedMistake, AccessFarBeyondABlocksVariableIsReported) {
  EXPECT_NO_THROW(launch_with_word(go_beyond_variable<2, true>));
  EXPECT_DEATH(launch_with_word(go_beyond_variable<64, true>),
               "out-of-bounds access.*in kernel planted|Sanitizer");
  EXPECT_DEATH(launch_with_word(go_beyond_variable<64, false>), "out-of-bounds access|Sanitizer");
}

/// Leaves its mark in a variable where it found none.
__global__ void expect_nothing(std::uint32_t* found) {
  auto& mark = cuda::block_variable<std::uint32_t>();
  if (threadIdx.x != 0) return;
  found[blockIdx.x] = mark;
  mark = 1;
}

TEST(Emulation, ABlocksVariableHoldsNothingAtFirst) {
  on_device(0, [](Device& device, Stream& stream) {
    const DeviceMemory found(device, 8 * sizeof(std::uint32_t));
    launch(stream, {"expect_nothing", 8, 32}, expect_nothing, as<std::uint32_t>(found));
    EXPECT_EQ(download<std::uint32_t>(device, stream, found, 8), std::vector<std::uint32_t>(8, 0xffffffff));
  });
}

__global__ void use_kilobyte(std::uint32_t* out) {
  using Kilobyte = std::uint32_t[256];
  auto& words = cuda::block_variable<Kilobyte>();
  words[threadIdx.x] = 1;
  if (threadIdx.x == 0) out[0] = words[0];
}

TEST_F(PlantedMistake, MoreSharedMemoryThanABlockMayHaveIsReported) {
  EXPECT_NO_THROW(launch_with_word(use_kilobyte, 98 << 10));
  EXPECT_THAT([] { launch_with_word(use_kilobyte, (98 << 10) + 4); },
              ThrowsMessage<DeviceError>(HasSubstr("1024 bytes and 100356 bytes of dynamic")));
}

TEST_F(PlantedMistake, HostAccessToDeviceMemoryIsReported) {
  Device device = cuda::emulation::make_device({});
  const DeviceMemory memory(device, 1 << 16);
  EXPECT_DEATH(std::printf("%d", static_cast<int>(memory.data()[100])),
               "host access to device memory, byte 100 of 65536");
  EXPECT_DEATH(memory.data()[65535] = std::byte{1}, "host access to device memory, byte 65535 of 65536");
}

struct Words {
  std::uint32_t n;
  const std::uint32_t* from;
};

__global__ void copy_words(Words words, std::uint32_t* to) {
  if (threadIdx.x < words.n && words.from != nullptr) to[threadIdx.x] = words.from[threadIdx.x];
}

TEST_F(PlantedMistake, AnArgumentInHostMemoryIsReported) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  const DeviceMemory on_device(device, 128);
  const cuda::PinnedMemory pinned(device, 128);
  const auto refusal = [&](const std::uint32_t* from) {
    try {
      launch(stream, {"copy_words", 1, 32}, copy_words, {32, from}, as<std::uint32_t>(on_device));
    } catch (const DeviceError& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(refusal(nullptr), "");
  EXPECT_EQ(refusal(as<const std::uint32_t>(on_device)), "");
  EXPECT_EQ(refusal(reinterpret_cast<const std::uint32_t*>(pinned.data())), "");
  // Of two addresses a MiB apart, one at most looks like a number.
  const std::vector<std::uint32_t> on_host(1 << 19);
  EXPECT_THAT(refusal(on_host.data()) + refusal(on_host.data() + (1 << 18)),
              HasSubstr("copy_words: an argument points to memory of the host"));
}

TEST(Emulation, GoesOnAfterAFailedKernelOnAnotherDevice) {
  EXPECT_THROW(launch_without_arguments(two_barriers, 64), DeviceError);
  EXPECT_NO_THROW(launch_without_arguments(divergent_barrier, 32));
}

TEST(Emulation, ADeviceWithAFailedKernelRefusesEverything) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  const DeviceMemory memory(device, 64);
  launch(stream, {"planted", 1, 64}, two_barriers);
  EXPECT_THROW(device.synchronise(), DeviceError);
  EXPECT_THROW(stream.fill(memory.data(), 0, 64), DeviceError);
  EXPECT_THROW(DeviceMemory(device, 64), DeviceError);
}

TEST(Emulation, RefusesShapesThatNoGpuTakes) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  EXPECT_THROW(launch(stream, {"shape", 1, 1025}, divergent_barrier), DeviceError);
  EXPECT_THROW(launch(stream, {"shape", 0, 32}, divergent_barrier), DeviceError);
  EXPECT_THROW(launch(stream, {"shape", {1, 65536}, 32}, divergent_barrier), DeviceError);
  EXPECT_THROW(launch(stream, {"shape", 1, 32, 100 << 10}, divergent_barrier), DeviceError);
}

}  // namespace
}  // namespace tandem::cuda_test
