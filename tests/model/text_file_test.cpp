#include "model/text_file.h"

#include <fstream>

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

}  // namespace
}  // namespace tandem::model
