#include "daemon/calibration/cpu_speed.h"

#include <set>

#include <gtest/gtest.h>

#include "daemon/calibration/memory_speed.h"

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

}  // namespace
}  // namespace tandem::calibration
