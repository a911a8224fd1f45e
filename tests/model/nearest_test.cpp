#include "model/nearest.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

const std::vector<std::string> kNames{"t4", "l4", "rtx3060-12gb-ddr4", "rtx3090", "rtx4070", "a10"};

TEST(EditDistance, CountsInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(edit_distance("", ""), 0U);
  EXPECT_EQ(edit_distance("abc", ""), 3U);
  EXPECT_EQ(edit_distance("", "abc"), 3U);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3U);
  EXPECT_EQ(edit_distance("width", "widht"), 2U);
}

TEST(Nearest, BeginsWithTheWordBeforeAllElse) {
  EXPECT_EQ(nearest("rtx", kNames), "rtx3090");
  EXPECT_EQ(nearest("rtx3060", kNames), "rtx3060-12gb-ddr4");
  EXPECT_EQ(nearest("rtx40", kNames), "rtx4070");
}

TEST(Nearest, ContainsTheWordBeforeFewerEdits) {
  EXPECT_EQ(nearest("4070", kNames), "rtx4070");
  EXPECT_EQ(nearest("12gb", kNames), "rtx3060-12gb-ddr4");
}

TEST(Nearest, IsAbbreviatedByTheWordBeforeFewerEdits) {
  const std::vector<std::string> variables{"vram", "ram", "context", "sequences"};
  EXPECT_EQ(nearest("ctx", variables), "context");
  EXPECT_EQ(nearest("seqs", variables), "sequences");
  EXPECT_EQ(nearest("vrm", variables), "vram");
  EXPECT_EQ(nearest("txc", variables), "ram");
}

TEST(Nearest, HasTheFewestEditsElse) {
  EXPECT_EQ(nearest("rtx4060", kNames), "rtx4070");
  EXPECT_EQ(nearest("a100", kNames), "a10");
  EXPECT_EQ(nearest("T4", kNames), "t4");
}

TEST(Nearest, IsEmptyWhereNothingIsKnown) {
  EXPECT_EQ(nearest("rtx", std::vector<std::string>{}), "");
  EXPECT_EQ(nearest("", kNames), "t4");
}

}  // namespace
}  // namespace tandem::model
