#include "backends/cpu/cpu_quota.h"

#include <fstream>

#include <climits>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tandem::cpu {
namespace {

/// A file system with the process in `group`, as /proc/self/cgroup says it.
class Root {
 public:
  explicit Root(const std::string& group) { put("proc/self/cgroup", group); }

  void put(const std::string& file, const std::string& text) const {
    const auto path = directory_.path() / file;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path) << text << '\n';
  }
  [[nodiscard]] unsigned quota() const { return cpu_quota(directory_.path()); }

 private:
  test_support::TempDir directory_;
};

TEST(CpuQuota, IsRoundedUp) {
  const Root root("0::/");
  root.put("sys/fs/cgroup/cpu.max", "250000 100000");
  EXPECT_EQ(root.quota(), 3U);
  root.put("sys/fs/cgroup/cpu.max", "200000 100000");
  EXPECT_EQ(root.quota(), 2U);
  root.put("sys/fs/cgroup/cpu.max", "1000 100000");
  EXPECT_EQ(root.quota(), 1U);
}

TEST(CpuQuota, IsTheLeastOfAllGroupsAbove) {
  const Root root("0::/service/tandem");
  root.put("sys/fs/cgroup/service/cpu.max", "300000 100000");
  root.put("sys/fs/cgroup/service/tandem/cpu.max", "max 100000");
  EXPECT_EQ(root.quota(), 3U);
  root.put("sys/fs/cgroup/service/tandem/cpu.max", "100000 50000");
  EXPECT_EQ(root.quota(), 2U);
}

TEST(CpuQuota, OfVersionOneHasAFileForEachNumber) {
  const Root root("4:memory:/\n3:cpu,cpuacct:/tandem");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1");
  root.put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000");
  EXPECT_EQ(root.quota(), UINT_MAX);
  root.put("sys/fs/cgroup/cpu/tandem/cpu.cfs_quota_us", "150000");
  root.put("sys/fs/cgroup/cpu/tandem/cpu.cfs_period_us", "100000");
  EXPECT_EQ(root.quota(), 2U);
}

TEST(CpuQuota, IsNoneWhereNothingOrNonsenseIsSet) {
  EXPECT_EQ(Root("").quota(), UINT_MAX);
  const Root root("0::/\nnonsense");
  for (const auto* text : {"", "max 100000", "much", "0 0", "100000 0", "-5 100000"}) {
    root.put("sys/fs/cgroup/cpu.max", text);
    EXPECT_EQ(root.quota(), UINT_MAX) << text;
  }
}

}  // namespace
}  // namespace tandem::cpu
