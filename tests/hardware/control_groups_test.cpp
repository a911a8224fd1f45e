#include "hardware/control_groups.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tandem::hardware {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A file system in which a process is in the groups that `lines` name.
class Root {
 public:
  explicit Root(const std::string& lines) {
    const auto folder = directory_.path() / "proc/self";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "cgroup") << lines;
  }
  /// Groups as paths below the mount.
  [[nodiscard]] std::vector<std::string> groups(std::string_view controller) const {
    std::vector<std::string> names;
    for (const auto& group : control_groups(controller, directory_.path())) {
      names.push_back(group.lexically_relative(directory_.path() / "sys/fs/cgroup").string());
    }
    return names;
  }

 private:
  test_support::TempDir directory_;
};

TEST(ControlGroups, OfVersion2LimitEverything) {
  const Root root("0::/user.slice/tandem.service\n");
  EXPECT_THAT(root.groups("cpu"), ElementsAre(".", "user.slice", "user.slice/tandem.service"));
  EXPECT_EQ(root.groups("memory"), root.groups("cpu"));
}

TEST(ControlGroups, OfVersion1LimitWhatTheirHierarchyIsFor) {
  const Root root("4:cpuset:/s\n3:cpu,cpuacct:/tandem\n2:memory:/\n1:name=systemd:/x\n");
  EXPECT_THAT(root.groups("cpu"), ElementsAre("cpu", "cpu/tandem"));
  EXPECT_THAT(root.groups("memory"), ElementsAre("memory"));
  EXPECT_THAT(root.groups("io"), IsEmpty());
}

TEST(ControlGroups, OfBothVersionsLimitTogether) {
  const Root root("5:memory:/old\n0::/new\n");
  EXPECT_THAT(root.groups("memory"), ElementsAre("memory", "memory/old", ".", "new"));
}

TEST(ControlGroups, HavePathsWithColons) {
  EXPECT_THAT(Root("0::/a:b\n").groups("cpu"), ElementsAre(".", "a:b"));
}

TEST(ControlGroups, AreNoneWhereNothingOrNonsenseIsSaid) {
  EXPECT_THAT(Root("").groups("cpu"), IsEmpty());
  EXPECT_THAT(Root("nonsense\n0:\n").groups("cpu"), IsEmpty());
}

}  // namespace
}  // namespace tandem::hardware
