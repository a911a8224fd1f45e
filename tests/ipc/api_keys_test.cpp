#include "ipc/api_keys.h"

#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/tcp_socket.h"
#include "tests/ipc/temporary_directory.h"

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

const std::string kAlice = "alice-0123456789abcdef";
const std::string kBob = "bob-0123456789abcdef-and-more";

class ApiKeyFile : public ::testing::Test {
 protected:
  std::string write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path_) << text;
    EXPECT_EQ(::chmod(path_.c_str(), mode), 0);
    return path_;
  }
  std::string refusal(const std::string& text, mode_t mode = 0600) {
    write(text, mode);
    try {
      ApiKeys::read(path_);
    } catch (const BadListen& error) {
      return error.what();
    }
    return "no error";
  }

  testing::TemporaryDirectory directory_;
  const std::string path_ = directory_.file("keys");
};

TEST_F(ApiKeyFile, TellsWhoseAKeyIs) {
  const ApiKeys keys = ApiKeys::read(
      write("# who may call\n\nalice " + kAlice + "\n  bob\t" + kBob + "  \nalice second-key-of-alice"));
  EXPECT_EQ(keys.owner_of(kAlice), "alice");
  EXPECT_EQ(keys.owner_of("second-key-of-alice"), "alice");
  EXPECT_EQ(keys.owner_of(kBob), "bob");
  for (const std::string& none : {std::string(), std::string("alice"), kAlice + " ", kAlice.substr(1),
                                  kAlice + "x", "alice " + kAlice}) {
    EXPECT_EQ(keys.owner_of(none), std::nullopt) << none;
  }
}

TEST_F(ApiKeyFile, RefusesLinesItCannotTakeByTheirNumber) {
  struct Case {
    std::string text;
    const char* problem;
  };
  for (const Case& one :
       {Case{"", "holds no key"}, Case{"# nothing\n", "holds no key"},
        Case{"a " + kAlice + "\n" + kBob, ":2: must be a label, a space and a key"},
        Case{"a " + kAlice + " x", ":1: must be a label, a space and a key"},
        Case{"\n\na/b " + kAlice, ":3: a label is 1 to 64"},
        Case{"a short-key-of-15", ":1: a key has 16 to 256"},
        Case{"a " + std::string(257, 'x'), ":1: a key has 16 to 256"},
        Case{"a \xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4", ":1: a key has"},
        Case{"a " + kAlice + "\nb " + kAlice, ":2: this key is there already"}}) {
    const std::string message = refusal(one.text);
    EXPECT_THAT(message, HasSubstr(one.problem));
    EXPECT_THAT(message, HasSubstr(path_));
    EXPECT_THAT(message, Not(HasSubstr(kAlice)));
    EXPECT_THAT(message, Not(HasSubstr("short-key")));
  }
}

TEST_F(ApiKeyFile, MustBePrivate) {
  for (const mode_t mode : {0640, 0604, 0620, 0602, 0610, 0601, 0644}) {
    EXPECT_THAT(refusal("a " + kAlice, mode), HasSubstr("others may read or write it; chmod 600 it")) << mode;
  }
  EXPECT_EQ(refusal("a " + kAlice, 0400), "no error");
}

TEST_F(ApiKeyFile, MustBeARegularFileThatIsThere) {
  const auto refused = [](const std::string& path) -> std::string {
    try {
      ApiKeys::read(path);
    } catch (const BadListen& error) {
      return error.what();
    }
    return "no error";
  };
  EXPECT_THAT(refused(directory_.file("absent")), HasSubstr("cannot be opened: No such file"));
  EXPECT_THAT(refused(directory_.file("")), HasSubstr("is not a regular file"));
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(refused(path_), HasSubstr("is not a regular file"));
}

}  // namespace
}  // namespace tandem::ipc
