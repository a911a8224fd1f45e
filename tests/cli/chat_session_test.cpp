#include "cli/chat_session.h"

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/resource.h>
#include <sys/stat.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.h"
#include "tests/support/temp_dir.h"

namespace tandem::cli {
namespace {

using ipc::Json;
using ::testing::HasSubstr;

std::string refusal(ChatSession& session, const std::string& name, const std::string& value) {
  try {
    session.set(name, value);
  } catch (const Error& error) {
    return std::string(error.what()) + " | " + error.hint();
  }
  return "accepted";
}

TEST(ChatSession, AsksWithTheWholeConversation) {
  ChatSession session;
  session.set_system("Be brief.");
  session.add_user("one");
  session.add_answer("two");
  session.add_user("three");
  session.undo();
  session.add_user("four");
  const Json request = session.request();
  EXPECT_EQ(request["messages"], Json::parse(R"([{"role": "system", "content": "Be brief."},
                                                 {"role": "user", "content": "one"},
                                                 {"role": "assistant", "content": "two"},
                                                 {"role": "user", "content": "four"}])"));
  EXPECT_EQ(request["stream"], true);
  session.clear();
  session.set_system("");
  EXPECT_EQ(session.request()["messages"], Json::array());
  session.undo();
}

TEST(ChatSession, SetsWhatTheApiKnows) {
  ChatSession session;
  session.set("temperature", "0.7");
  session.set("top_k", "5");
  session.set("stop", "the end");
  session.set("thinking", "on");
  Json request = session.request();
  EXPECT_EQ(request["temperature"], 0.7);
  EXPECT_EQ(request["top_k"], 5);
  EXPECT_EQ(request["stop"], "the end");
  EXPECT_EQ(request["chat_template_kwargs"], (Json{{"enable_thinking", true}}));
  EXPECT_FALSE(request.contains("thinking"));
  session.set("temperature", "");
  session.set("thinking", "");
  request = session.request();
  EXPECT_FALSE(request.contains("temperature"));
  EXPECT_FALSE(request.contains("chat_template_kwargs"));
}

TEST(ChatSession, RefusesOtherNamesAndValues) {
  ChatSession session;
  EXPECT_THAT(refusal(session, "temprature", "1"), HasSubstr("did you mean temperature?"));
  EXPECT_THAT(refusal(session, "messages", "x"), HasSubstr("there is no setting 'messages'"));
  EXPECT_THAT(refusal(session, "stream", ""), HasSubstr("there is no setting 'stream'"));
  EXPECT_THAT(refusal(session, "temperature", "warm"), HasSubstr("must be a number, not 'warm'"));
  EXPECT_THAT(refusal(session, "temperature", "1x"), HasSubstr("must be a number"));
  EXPECT_THAT(refusal(session, "seed", "1.5"), HasSubstr("must be a whole number"));
  EXPECT_THAT(refusal(session, "thinking", "yes"), HasSubstr("must be on or off"));
  EXPECT_EQ(session.settings(), Json::object());
}

TEST(ChatSession, IsSavedForThisUserAloneAndLoadedAsItWas) {
  const test_support::TempDir directory;
  const std::string path = (directory.path() / "talk.json").string();
  ChatSession session;
  session.set_system("Be brief.");
  session.set("temperature", "0.5");
  session.set("thinking", "off");
  session.set("stop", "x");
  session.add_user("\xc3\xa4 \"quoted\"\n");
  session.add_answer("answer");
  session.save(path);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  ChatSession other;
  other.add_user("forgotten");
  other.load(path);
  EXPECT_EQ(other.request(), session.request());
  EXPECT_EQ(other.size(), 2u);
}

TEST(ChatSession, LoadsNothingElse) {
  const test_support::TempDir directory;
  const std::string path = (directory.path() / "talk.json").string();
  ChatSession session;
  session.add_user("kept");
  const Json before = session.request();
  for (
      const char* text :
      {"", "{}", "[]", "nonsense",
       R"({"schema": "tandem.chat/2", "system": "", "settings": {}, "messages": []})",
       R"({"schema": 1, "system": "", "settings": {}, "messages": []})",
       R"({"schema": "tandem.chat/1", "system": 5, "settings": {}, "messages": []})",
       R"({"schema": "tandem.chat/1", "system": "", "settings": {"tools": 1}, "messages": []})",
       R"({"schema": "tandem.chat/1", "system": "", "settings": {"temperature": [1]}, "messages": []})",
       R"({"schema": "tandem.chat/1", "system": "", "settings": {}, "messages": [{"role": "tool", "content": ""}]})",
       R"({"schema": "tandem.chat/1", "system": "", "settings": {}, "messages": [{"role": "user"}]})"}) {
    std::ofstream(path) << text;
    EXPECT_THROW(session.load(path), Error) << text;
    EXPECT_EQ(session.request(), before) << text;
  }
  EXPECT_THROW(session.load(path + ".absent"), Error);
  EXPECT_THROW(session.load(directory.path().string()), Error);
  EXPECT_EQ(session.request(), before);
  EXPECT_THROW(session.save(path + "/below/a/file"), Error);
}

TEST(ChatSession, TakesNoNumberThatJsonHasNoWordFor) {
  ChatSession session;
  for (const char* value : {"nan", "-nan", "inf", "-inf", "infinity", "1e999"}) {
    EXPECT_THAT(refusal(session, "temperature", value), HasSubstr("must be a number")) << value;
  }
  EXPECT_EQ(session.settings(), Json::object());
}

/// While one lives, no file of this process grows beyond some bytes: a disk that is full.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FullDisk() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }
  FullDisk(const FullDisk&) = delete;
  FullDisk& operator=(const FullDisk&) = delete;

 private:
  rlimit before_{};
  void (*handler_)(int);
};

TEST(ChatSession, AFileIsReplacedOnceAllIsWritten) {
  const test_support::TempDir directory;
  const auto path = (directory.path() / "talk.json").string();
  ChatSession session;
  session.add_user("kept");
  session.save(path);
  session.add_answer(std::string(100'000, 'a'));
  {
    const FullDisk full(4096);
    EXPECT_THROW(session.save(path), Error);
  }
  ChatSession loaded;
  loaded.load(path);
  EXPECT_EQ(loaded.size(), 1U);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(directory.path()), {}), 1)
      << "nothing is left over";
  session.save(path);
  loaded.load(path);
  EXPECT_EQ(loaded.size(), 2U);
}

TEST(ChatSession, AFileBehindALinkIsReplacedAndTheLinkIsKept) {
  const test_support::TempDir directory;
  const auto file = directory.path() / "file";
  const auto link = directory.path() / "link";
  std::ofstream(file) << "before";
  std::filesystem::permissions(file, std::filesystem::perms(0644));
  std::filesystem::create_symlink("file", link);
  ChatSession session;
  session.add_user("one");
  session.save(link.string());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  ChatSession loaded;
  loaded.load(file.string());
  EXPECT_EQ(loaded.size(), 1U);
  EXPECT_EQ(std::filesystem::status(file).permissions(), std::filesystem::perms(0600));
}

TEST(ChatSession, ADeviceIsWrittenInto) {
  ChatSession session;
  session.save("/dev/null");
  EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
  EXPECT_THROW(session.save("/dev/full"), Error);
}

}  // namespace
}  // namespace tandem::cli
