// The yardsticks of the GPU benchmarks: a kernel that reads everything once, and how long two devices work at
// the same time.

#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "bench/on_gpu/bench_device.h"
#include "bench/on_gpu/read_ceiling.h"
#include "bench/on_gpu/traced_lane.h"

namespace tandem::bench {
namespace {

TEST(ReadAll, ReadsEveryWordOnce) {
  auto device = open_bench_device(0);
  cuda::Stream stream(device);
  std::mt19937 random(1);
  for (const std::size_t bytes : {16UL, 4096UL, 100'000UL}) {
    for (const std::uint32_t blocks : {1U, 3U}) {
      const cuda::PinnedMemory pinned(device, bytes);
      std::vector<std::uint32_t> words(bytes / 4);
      std::generate(words.begin(), words.end(), std::ref(random));
      std::memcpy(pinned.data(), words.data(), bytes);
      const cuda::DeviceMemory memory(device, bytes);
      stream.copy_to_device(memory.data(), pinned.data(), bytes);
      const std::size_t warps = std::size_t{blocks} * kReadWarps;
      const cuda::DeviceMemory sums(device, warps * 4);
      read_all(stream, memory.data(), bytes, blocks, reinterpret_cast<std::uint32_t*>(sums.data()));
      const cuda::PinnedMemory back(device, warps * 4);
      stream.copy_to_host(back.data(), sums.data(), warps * 4);
      stream.synchronise();
      std::vector<std::uint32_t> of_warps(warps);
      std::memcpy(of_warps.data(), back.data(), warps * 4);
      std::uint32_t expected = 0, actual = 0;
      for (const auto word : words) expected ^= word;
      for (const auto sum : of_warps) actual ^= sum;
      EXPECT_EQ(actual, expected) << bytes << " bytes, " << blocks << " blocks";
    }
  }
}

/// Milliseconds in which both were at work, counted one by one.
int counted_ms(const std::vector<Interval>& a, const std::vector<Interval>& b) {
  const auto works = [](const std::vector<Interval>& intervals, double at) {
    return std::ranges::any_of(intervals, [at](const auto& i) { return i.begin_s <= at && at < i.end_s; });
  };
  int n = 0;
  for (int ms = 0; ms < 400; ++ms) n += works(a, (ms + 0.5) / 1e3) && works(b, (ms + 0.5) / 1e3) ? 1 : 0;
  return n;
}

TEST(Overlap, IsTheTimeInWhichBothWork) {
  std::mt19937 random(2);
  const auto intervals = [&random] {
    std::vector<Interval> result;
    int at = 0;
    while (at < 300) {
      const int begin = at + static_cast<int>(random() % 20);
      at = begin + 1 + static_cast<int>(random() % 30);
      result.push_back({begin / 1e3, at / 1e3});
    }
    return result;
  };
  for (int round = 0; round < 200; ++round) {
    const auto a = intervals(), b = intervals();
    EXPECT_NEAR(overlap_s(a, b), counted_ms(a, b) / 1e3, 1e-9);
    EXPECT_NEAR(overlap_s(a, a), total_s(a), 1e-9);
  }
  EXPECT_EQ(overlap_s({}, intervals()), 0);
}

}  // namespace
}  // namespace tandem::bench
