#include "cli/prompt_files.h"

#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/support/temp_dir.h"

namespace tandem::cli {
namespace {

using ::testing::HasSubstr;

class PromptFiles : public ::testing::Test {
 protected:
  std::string write(const std::string& name, const std::string& text) {
    const auto path = directory_.path() / name;
    std::ofstream(path, std::ios::binary) << text;
    return path.string();
  }
  static std::string refusal(const std::vector<std::string>& files) {
    try {
      with_files("x", files);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  test_support::TempDir directory_;
};

TEST_F(PromptFiles, FollowThePromptByName) {
  const auto one = write("one.txt", "first\n");
  const auto two = write("two.txt", "\xc3\xa4\n\n");
  EXPECT_EQ(with_files("Compare:", {one, two}), "Compare:\n\none.txt:\nfirst\n\ntwo.txt:\n\xc3\xa4\n");
  EXPECT_EQ(with_files("", {one}), "one.txt:\nfirst");
  EXPECT_EQ(with_files("alone", {}), "alone");
}

TEST_F(PromptFiles, AreTakenWholeOrNotAtAll) {
  EXPECT_EQ(refusal({write("full", std::string(kMaxPromptFileBytes, 'a'))}), "accepted");
  EXPECT_THAT(refusal({write("large", std::string(kMaxPromptFileBytes + 1, 'a'))}),
              HasSubstr("large: is larger than the 1048576 bytes"));
  EXPECT_THAT(refusal(std::vector<std::string>(kMaxPromptFiles + 1, write("a", "a"))),
              HasSubstr("32 times at most"));
}

TEST_F(PromptFiles, AreText) {
  EXPECT_THAT(refusal({write("binary", std::string("a\0b", 3))}), HasSubstr("is not a text in UTF-8"));
  EXPECT_THAT(refusal({write("latin1", "\xe4")}), HasSubstr("is not a text in UTF-8"));
  EXPECT_THAT(refusal({directory_.path().string()}), HasSubstr("is a folder"));
  EXPECT_THAT(refusal({(directory_.path() / "absent").string()}), HasSubstr("absent: cannot be opened"));
}

}  // namespace
}  // namespace tandem::cli
