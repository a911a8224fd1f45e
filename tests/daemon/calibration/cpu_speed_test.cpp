#include "daemon/calibration/cpu_speed.h"

#include <algorithm>
#include <cstdlib>
#include <sched.h>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/calibration/memory_speed.h"
#include "daemon/calibration/weight_block.h"

namespace tandem::calibration {
namespace {

TEST(CpuSpeed, ThreadCountsDoubleUpToAll) {
  EXPECT_EQ(thread_counts(1), (std::vector<unsigned>{1}));
  EXPECT_EQ(thread_counts(4), (std::vector<unsigned>{1, 2, 4}));
  EXPECT_EQ(thread_counts(6), (std::vector<unsigned>{1, 2, 4, 6}));
}

// No time at all: what a profile cannot do without is measured nevertheless.
TEST(CpuSpeed, WithoutTimeThereIsStillAProfile) {
  Pace pace({1e-9, 1, 1, 0}, [](const std::string&, double) {});
  const auto speed = measure_cpu(pace, 2);
  EXPECT_EQ(speed.threads, 2U);
  EXPECT_FALSE(speed.kernels.empty());
  ASSERT_EQ(speed.reads.size(), 1U);
  EXPECT_EQ(speed.reads[0].threads, 2U);
  EXPECT_GT(speed.reads[0].gb_per_s, 0);
  ASSERT_EQ(speed.types.size(), 5U);
  for (const auto& rates : speed.types) {
    EXPECT_GT(rates.tops, 0);
    for (const auto read : rates.read_gb_per_s) EXPECT_GT(read, 0);
  }
}

TEST(CpuSpeed, MemoryAloneIsReadByAsManyThreadsAsAsked) {
  Pace pace({1e-9, 1, 1, 0}, [](const std::string&, double) {});
  const auto speed = measure_memory(pace, 2);
  EXPECT_EQ(speed.threads, 2U);
  EXPECT_GT(speed.gb_per_s, 0);
}

/// How many processors the calling thread may run on.
unsigned processors() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  return static_cast<unsigned>(CPU_COUNT(&set));
}

TEST(MemoryOfATeam, IsMadeOnItsCoresAndBindsNobodyElse) {
  const auto before = processors();
  for (const unsigned threads : {1U, 2U}) {
    EXPECT_EQ(made_for_team(threads, &processors), std::min(threads, cpu::Cores().count()));
  }
  EXPECT_EQ(processors(), before);
}

TEST(MemoryOfATeam, IsReadWhereNodesAreSeveral) {
  ::setenv("HWLOC_SYNTHETIC", "package:2 [numa] core:2 pu:1", 1);  // hwloc binds nothing then
  Pace pace({10, 1, 1, 0}, [](const std::string&, double) {});
  const WeightBlock block(1 << 20);
  const auto speeds = read_speeds(pace, block.bytes(), 4);
  ::unsetenv("HWLOC_SYNTHETIC");
  ASSERT_EQ(speeds.size(), 3U);
  for (const auto& speed : speeds) EXPECT_GT(speed.gb_per_s, 0) << speed.threads;
}

TEST(TeamSize, CrossesSocketsWhereThatReadsFaster) {
  const auto reads = [](double socket, double all) {
    return [=](unsigned threads) { return threads == 8 ? all : socket; };
  };
  EXPECT_EQ(worthwhile_threads(4, 8, reads(40, 70)), 8U);
  EXPECT_EQ(worthwhile_threads(4, 8, reads(40, 35)), 4U);
  EXPECT_EQ(worthwhile_threads(4, 8, reads(40, 40)), 4U);
  const auto never = [](unsigned) -> double { throw std::logic_error("one socket need not be measured"); };
  EXPECT_EQ(worthwhile_threads(4, 4, never), 4U);
}

}  // namespace
}  // namespace tandem::calibration
