#include "model/text_file.h"

#include <array>
#include <fstream>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/support/temp_dir.h"

namespace tandem::model {
namespace {

std::string refusal(const std::filesystem::path& path) {
  try {
    read_text_file(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST(TextFile, IsReadWhole) {
  const test_support::TempDir directory;
  for (const auto& text : {std::string(), std::string("a\0b\r\n", 5), std::string(200'000, 'x') + "y"}) {
    const auto path = directory.path() / "text";
    std::ofstream(path, std::ios::binary) << text;
    EXPECT_EQ(read_text_file(path), text);
  }
}

TEST(TextFile, WhatCannotBeReadIsNoEmptyText) {
  const test_support::TempDir directory;
  EXPECT_EQ(refusal(directory.path()), directory.path().string() + ": cannot be read: Is a directory");
  const auto absent = directory.path() / "absent";
  EXPECT_EQ(refusal(absent), absent.string() + ": cannot be opened: No such file or directory");
}

TEST(TextFile, APipeIsReadToItsEndHoweverLateItsWriterIs) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const std::string text(200'000, 'x');
  std::thread writer([&] {
    usleep(20'000);
    EXPECT_EQ(write(ends[1], text.data(), text.size()), static_cast<ssize_t>(text.size()));
    close(ends[1]);
  });
  EXPECT_EQ(read_text_file("/proc/self/fd/" + std::to_string(ends[0])), text);
  writer.join();
  close(ends[0]);
}

TEST(TextFile, NobodyIsWaitedForWhoMightWriteToANamedPipe) {
  const test_support::TempDir directory;
  const auto path = directory.path() / "pipe";
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_EQ(refusal(path), path.string() + ": is a pipe that nobody writes to");
}

TEST(TextFile, ADeviceWithoutAnEndIsNoText) {
  EXPECT_EQ(refusal("/dev/zero"), "/dev/zero: is longer than 64 MiB");
}

}  // namespace
}  // namespace tandem::model
