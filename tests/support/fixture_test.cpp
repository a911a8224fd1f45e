#include "tests/support/fixture.h"

#include <fstream>
#include <functional>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::test_support {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string message_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "no error";
}

/// container.fixture is written by the Python side with known contents.
class FixtureTest : public testing::Test {
 protected:
  std::filesystem::path rewritten(const std::function<void(std::string&)>& change) {
    std::ifstream in(reference_path("container.fixture"), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(in), {}};
    change(bytes);
    auto path = std::filesystem::path(testing::TempDir()) /
                testing::UnitTest::GetInstance()->current_test_info()->name();
    std::ofstream(path, std::ios::binary) << bytes;
    return path;
  }

  Fixture fixture_ = Fixture::load(reference_path("container.fixture"));
};

TEST_F(FixtureTest, ReadsEveryElementTypeWithItsExtents) {
  EXPECT_THAT(fixture_.names(),
              ElementsAre("bytes", "empty", "floats", "ids", "ids_end", "text", "text_end"));
  EXPECT_THAT(fixture_.u8("bytes"), ElementsAre(0, 127, 255));
  EXPECT_THAT(fixture_.f32("floats"), ElementsAre(-0.5F, 1.0F, 3.25F, 1e-40F, -3e38F, 7.0F));
  EXPECT_THAT(fixture_.dims("floats"), ElementsAre(2, 3));
  EXPECT_THAT(fixture_.dims("empty"), ElementsAre(0, 4));
  EXPECT_TRUE(fixture_.f32("empty").empty());
  EXPECT_TRUE(fixture_.contains("ids"));
  EXPECT_FALSE(fixture_.contains("id"));
}

TEST_F(FixtureTest, RaggedRowsMayBeEmpty) {
  ASSERT_EQ(fixture_.row_count("ids"), 3U);
  EXPECT_THAT(fixture_.i32_row("ids", 0), ElementsAre(5, -6));
  EXPECT_TRUE(fixture_.i32_row("ids", 1).empty());
  EXPECT_THAT(fixture_.i32_row("ids", 2), ElementsAre(7));
  EXPECT_EQ(fixture_.text_row("text", 0), "a\xC3\xA9");
  EXPECT_EQ(fixture_.text_row("text", 1), std::string_view("\0b", 2));
}

TEST_F(FixtureTest, ErrorsNameTheArray) {
  EXPECT_THAT(message_of([&] { fixture_.f32("absent"); }), HasSubstr("no array named absent"));
  EXPECT_THAT(message_of([&] { fixture_.f32("ids"); }), HasSubstr("ids has another element type"));
  EXPECT_THAT(message_of([&] { fixture_.i32_row("ids", 3); }), HasSubstr("ids has no row 3"));
}

TEST_F(FixtureTest, BrokenFilesAreRefused) {
  EXPECT_THAT(message_of([] { Fixture::load("/nonexistent"); }), HasSubstr("/nonexistent: cannot be opened"));
  EXPECT_THAT(message_of([&] { Fixture::load(rewritten([](auto& b) { b[0] = 'X'; })); }),
              HasSubstr("not a fixture container"));
  EXPECT_THAT(message_of([&] { Fixture::load(rewritten([](auto& b) { b[8] = 2; })); }),
              HasSubstr("not version 1"));
  EXPECT_THAT(message_of([&] { Fixture::load(rewritten([](auto& b) { b += '!'; })); }),
              HasSubstr("bytes after the last array"));
}

TEST_F(FixtureTest, EveryCutOffFileIsRefused) {
  const auto size = std::filesystem::file_size(reference_path("container.fixture"));
  for (size_t length = 0; length < size; ++length) {
    EXPECT_THAT(message_of([&] { Fixture::load(rewritten([&](auto& b) { b.resize(length); })); }),
                HasSubstr("cut off"))
        << length;
  }
}

}  // namespace
}  // namespace tandem::test_support
