#include "model/chat_template.h"

#include <gtest/gtest.h>

#include "model/mapped_file.h"
#include "tests/support/fixture.h"

namespace tandem::model {
namespace {

TEST(ChatTemplate, HashIsSha256) {
  // FIPS 180-2, appendix B
  EXPECT_EQ(template_hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(template_hash(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST(ChatTemplate, NewlinesAtTheEndDoNotCount) {
  EXPECT_EQ(template_hash("abc\n\n"), template_hash("abc"));
  EXPECT_NE(template_hash("abc "), template_hash("abc"));
  EXPECT_NE(template_hash("\nabc"), template_hash("abc"));
}

TEST(ChatTemplate, UnknownTemplatesAreUnknown) {
  EXPECT_FALSE(find_template(template_hash("{{ bos_token }}")));
  EXPECT_FALSE(find_template(""));
}

}  // namespace
}  // namespace tandem::model
