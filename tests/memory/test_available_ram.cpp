#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "memory/available_ram.h"
#include "model/error.h"

namespace tandem::memory {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t kMiB = 1 << 20;

/// A directory that stands for "/", with 8 GiB available and no control groups.
class AvailableRamTest : public testing::Test {
 protected:
  AvailableRamTest() {
    write("proc/meminfo",
          "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\n");
  }
  ~AvailableRamTest() override { fs::remove_all(root_); }

  void write(const std::string& path, const std::string& text) {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const fs::path root_ =
      fs::path(testing::TempDir()) / testing::UnitTest::GetInstance()->current_test_info()->name();
};

TEST_F(AvailableRamTest, WithoutControlGroupsItIsMemAvailable) {
  EXPECT_EQ(available_ram_bytes(root_), 8192 * kMiB);
}

TEST_F(AvailableRamTest, WithoutMemAvailableItIsAnError) {
  write("proc/meminfo", "MemTotal: 16777216 kB\n");
  EXPECT_THROW(static_cast<void>(available_ram_bytes(root_)), Error);
}

TEST_F(AvailableRamTest, AVersion2GroupLeavesLimitLessUsageLessPagesOfFiles) {
  write("proc/self/cgroup", "0::/user.slice/tandem.service\n");
  write("sys/fs/cgroup/user.slice/tandem.service/memory.max", std::to_string(4096 * kMiB));
  write("sys/fs/cgroup/user.slice/tandem.service/memory.current", std::to_string(1024 * kMiB));
  EXPECT_EQ(available_ram_bytes(root_), 3072 * kMiB);
  write("sys/fs/cgroup/user.slice/tandem.service/memory.stat",
        "anon 5\ninactive_file " + std::to_string(512 * kMiB) + "\nactive_file " +
            std::to_string(256 * kMiB) + "\n");
  EXPECT_EQ(available_ram_bytes(root_), 3840 * kMiB);
}

TEST_F(AvailableRamTest, AVersion2GroupLeavesNothingBeyondWhereItIsSlowedDown) {
  write("proc/self/cgroup", "0::/tandem.service\n");
  write("sys/fs/cgroup/tandem.service/memory.max", "max\n");
  write("sys/fs/cgroup/tandem.service/memory.high", std::to_string(2048 * kMiB));
  write("sys/fs/cgroup/tandem.service/memory.current", std::to_string(1024 * kMiB));
  EXPECT_EQ(available_ram_bytes(root_), 1024 * kMiB);
  write("sys/fs/cgroup/tandem.service/memory.max", std::to_string(1536 * kMiB));
  EXPECT_EQ(available_ram_bytes(root_), 512 * kMiB);
}

TEST_F(AvailableRamTest, AGroupAboveMayLeaveLess) {
  write("proc/self/cgroup", "0::/a/b\n");
  write("sys/fs/cgroup/a/memory.max", std::to_string(2000 * kMiB));
  write("sys/fs/cgroup/a/memory.current", std::to_string(500 * kMiB));
  write("sys/fs/cgroup/a/b/memory.max", "max\n");
  write("sys/fs/cgroup/a/b/memory.current", std::to_string(100 * kMiB));
  EXPECT_EQ(available_ram_bytes(root_), 1500 * kMiB);
}

TEST_F(AvailableRamTest, AVersion1GroupLeavesLimitLessUsage) {
  write("proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/1234\n");
  write("sys/fs/cgroup/memory/docker/1234/memory.limit_in_bytes", std::to_string(1000 * kMiB));
  write("sys/fs/cgroup/memory/docker/1234/memory.usage_in_bytes", std::to_string(400 * kMiB));
  write("sys/fs/cgroup/memory/docker/1234/memory.stat",
        "inactive_file 1\nactive_file 1\ntotal_inactive_file " + std::to_string(100 * kMiB) +
            "\ntotal_active_file " + std::to_string(50 * kMiB) + "\n");
  EXPECT_EQ(available_ram_bytes(root_), 750 * kMiB);
}

TEST_F(AvailableRamTest, InsideAContainerTheGroupLiesAtTheTopOfTheMount) {
  write("proc/self/cgroup", "0::/system.slice/outside.scope\n");
  write("sys/fs/cgroup/memory.max", std::to_string(512 * kMiB));
  write("sys/fs/cgroup/memory.current", std::to_string(128 * kMiB));
  EXPECT_EQ(available_ram_bytes(root_), 384 * kMiB);
}

TEST_F(AvailableRamTest, AGroupOverItsLimitLeavesNothing) {
  write("proc/self/cgroup", "0::/\n");
  write("sys/fs/cgroup/memory.max", "1000\n");
  write("sys/fs/cgroup/memory.current", "2000\n");
  EXPECT_EQ(available_ram_bytes(root_), 0U);
}

TEST_F(AvailableRamTest, LimitsBeyondTheMachineDoNotCount) {
  write("proc/self/cgroup", "5:memory:/\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("sys/fs/cgroup/memory/memory.usage_in_bytes", "1000\n");
  EXPECT_EQ(available_ram_bytes(root_), 8192 * kMiB);
}

TEST(AvailableRam, OfThisMachineIsNotZero) {
  EXPECT_GT(available_ram_bytes(), 0U);
}

}  // namespace
}  // namespace tandem::memory
