#include "hardware/profile_cache.h"

#include <fcntl.h>
#include <fstream>
#include <iterator>
#include <map>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "planner/errors.h"
#include "tests/support/temp_dir.h"

namespace tandem::hardware {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string some_profile() {
  std::ifstream file(TANDEM_SOURCE_DIR "/config/machines/default.json", std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

std::vector<std::filesystem::path> folders_with(const std::map<std::string, std::string>& variables,
                                                bool is_root) {
  return cache_folders(
      [&](const std::string& name) {
        const auto found = variables.find(name);
        return found == variables.end() ? nullptr : found->second.c_str();
      },
      is_root);
}

TEST(ProfileCache, FoldersFollowTheXdgRule) {
  EXPECT_THAT(folders_with({{"XDG_CACHE_HOME", "/x"}, {"HOME", "/home/me"}}, false),
              ElementsAre("/x/tandem"));
  EXPECT_THAT(folders_with({{"XDG_CACHE_HOME", "/x"}}, true), ElementsAre("/x/tandem"));
  EXPECT_THAT(folders_with({{"HOME", "/home/me"}}, false),
              ElementsAre("/home/me/.cache/tandem", "/var/cache/tandem"));
  EXPECT_THAT(folders_with({{"HOME", "/root"}}, true), ElementsAre("/var/cache/tandem"));
  EXPECT_THAT(folders_with({}, false), ElementsAre("/var/cache/tandem"));
}

TEST(ProfileCache, RelativeFoldersAreIgnored) {
  EXPECT_THAT(folders_with({{"XDG_CACHE_HOME", "x"}, {"HOME", ""}}, false), ElementsAre("/var/cache/tandem"));
}

TEST(ProfileCache, FindsWhatWasWrittenForTheFingerprintOnly) {
  const test_support::TempDir folder;
  const auto machine = this_machine(0);
  const std::vector folders{folder.path() / "none", folder.path() / "deep" / "er"};
  EXPECT_FALSE(find_profile(machine, folders));
  const auto path = profile_path(folders[1], machine);
  write_profile(some_profile(), path);
  const auto found = find_profile(machine, folders);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->path, path);
  EXPECT_EQ(found->machine, planner::builtin_machine("default"));
  EXPECT_FALSE(find_profile(this_machine(7), folders));
}

TEST(ProfileCache, WhatAServiceMeasuredIsForAllToRead) {
  const test_support::TempDir folder;
  const auto path = folder.path() / "p.json";
  const auto before = ::umask(0077);
  write_profile(some_profile(), path);
  ::umask(before);
  EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms{0644});
}

TEST(ProfileCache, WhatMayNotBeReadIsAsGoodAsNone) {
  if (::geteuid() == 0) GTEST_SKIP() << "root reads everything";
  const test_support::TempDir folder;
  const auto machine = this_machine(0);
  const std::vector folders{folder.path() / "a", folder.path() / "b"};
  for (const auto& each : folders) write_profile(some_profile(), profile_path(each, machine));
  std::filesystem::permissions(profile_path(folders[0], machine), std::filesystem::perms::none);
  EXPECT_EQ(find_profile(machine, folders)->path, profile_path(folders[1], machine));
}

TEST(ProfileCache, TheFirstFolderWins) {
  const test_support::TempDir folder;
  const auto machine = this_machine(0);
  const std::vector folders{folder.path() / "a", folder.path() / "b"};
  for (const auto& each : folders) write_profile(some_profile(), profile_path(each, machine));
  EXPECT_EQ(find_profile(machine, folders)->path, profile_path(folders[0], machine));
}

TEST(ProfileCache, ADamagedProfileIsNamed) {
  const test_support::TempDir folder;
  const auto machine = this_machine(0);
  const auto path = profile_path(folder.path(), machine);
  for (const std::string text : {"", "{", "[]", "{\"schema\": \"tandem.machine/1\"}"}) {
    std::ofstream(path, std::ios::binary) << text;
    try {
      find_profile(machine, {folder.path()});
      ADD_FAILURE() << "accepted " << text;
    } catch (const planner::BadProfile& error) {
      EXPECT_THAT(error.what(), HasSubstr(path.string()));
      EXPECT_THAT(error.hint(), HasSubstr("tandem calibrate"));
    }
  }
}

TEST(ProfileCache, NothingButAProfileIsWritten) {
  const test_support::TempDir folder;
  const auto path = folder.path() / "p.json";
  EXPECT_THROW(write_profile("{}", path), planner::BadProfile);
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(ProfileCache, AFailedWriteLeavesTheOldProfileAndNothingElse) {
  const test_support::TempDir folder;
  const auto path = folder.path() / "p.json";
  std::filesystem::create_directory(path);
  (void)folder.write("p.json/full", "x");
  EXPECT_THROW(write_profile(some_profile(), path), Error);
  const std::filesystem::directory_iterator entries(folder.path());
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
  EXPECT_THROW(write_profile(some_profile(), folder.path() / "p.json/full/p.json"), Error);
}

TEST(ProfileCache, AFailedWriteSaysWhy) {
  const auto failure = [](const std::filesystem::path& path) -> std::string {
    try {
      write_profile(some_profile(), path);
    } catch (const Error& error) {
      return error.what();
    }
    return "written";
  };
  EXPECT_EQ(failure("/dev/full"), "cannot write /dev/full: No space left on device");
  EXPECT_EQ(failure("/proc/p.json"), "cannot write /proc/p.json: No such file or directory");
}

TEST(ProfileCache, WhatIsNoFileIsWrittenIntoAndStays) {
  const test_support::TempDir folder;
  const auto pipe = folder.path() / "pipe";
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  write_profile(some_profile(), pipe);  // fits a pipe
  EXPECT_TRUE(std::filesystem::is_fifo(pipe));
  std::string read(some_profile().size() + 1, '\0');
  const auto size = ::read(reader, read.data(), read.size());
  ::close(reader);
  ASSERT_GE(size, 0);
  read.resize(static_cast<std::size_t>(size));
  EXPECT_EQ(read, some_profile());
}

}  // namespace
}  // namespace tandem::hardware
