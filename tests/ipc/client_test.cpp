#include "ipc/client.h"

#include <atomic>
#include <csignal>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;

const char* const kStream = R"({"prompt": "a", "stream": true, "max_tokens": 20})";

TEST(Client, GetsPostsAndDeletesOnOneConnection) {
  Harness harness;
  Client client(harness.path());
  EXPECT_EQ(json_of(client.get("/health"))["status"], "ok");
  EXPECT_EQ(json_of(client.post("/v1/tokenize", R"({"prompt": "a"})"))["count"], 2);
  EXPECT_EQ(client.remove("/v1/requests/x").status, 404u);
  const HttpReply plan = client.get("/v1/plan");
  EXPECT_EQ(plan.status, 200u);
  EXPECT_EQ(plan.content_type, "application/json");
}

TEST(Client, StreamsEventsAndComments) {
  Harness harness;
  Client client(harness.path());
  std::string text;
  std::string comments;
  std::size_t events = 0;
  const HttpReply reply = client.stream("/v1/completions", kStream,
                                        {[&](const std::string& data) {
                                           ++events;
                                           if (data == "[DONE]") return true;
                                           text += Json::parse(data)["choices"][0]["text"];
                                           return true;
                                         },
                                         [&](const std::string& comment) {
                                           comments += comment + ";";
                                           return true;
                                         }});
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "");
  EXPECT_EQ(text, FakeService::answer(20));
  EXPECT_EQ(events, 22u);
  EXPECT_EQ(comments, "progress 2/2;");
  EXPECT_EQ(client.get("/health").status, 200u) << "the connection goes on";
}

TEST(Client, AnErrorIsNoStream) {
  Harness harness;
  Client client(harness.path());
  const HttpReply reply = client.stream("/v1/completions", "{}",
                                        {[](const std::string&) {
                                           ADD_FAILURE();
                                           return true;
                                         },
                                         {}});
  EXPECT_EQ(reply.status, 400u);
  try {
    json_of(reply);
    FAIL();
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    EXPECT_EQ(error.param(), "prompt");
    EXPECT_STREQ(error.what(), "'prompt' is required");
  }
}

TEST(Client, StoppingCancels) {
  Harness harness;
  {
    Client client(harness.path());
    client.stream("/v1/completions", R"({"prompt": "a", "stream": true, "max_tokens": 100000})",
                  {[](const std::string&) { return false; }, {}});
  }
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(harness.service.cancelled(), 1u);
}

TEST(Client, InterruptEndsAWaitFromASignalHandler) {
  Harness harness;
  harness.service.hold("queued");
  static Client* waiting = nullptr;
  Client client(harness.path());
  waiting = &client;
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) { waiting->interrupt(); };
  ::sigaction(SIGUSR1, &action, &before);
  const pthread_t self = ::pthread_self();
  std::thread other([&] {
    harness.service.wait_until([&] { return harness.service.unfinished() == 1; });
    ::pthread_kill(self, SIGUSR1);
  });
  EXPECT_THROW(client.post("/v1/completions", R"({"prompt": "a"})"), ConnectionLost);
  other.join();
  ::sigaction(SIGUSR1, &before, nullptr);
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_THROW(client.get("/health"), ConnectionLost);
}

TEST(Client, KnowsTheDaemonsProcess) {
  Harness harness;
  EXPECT_EQ(Client(harness.path()).daemon().pid, ::getpid());
}

TEST(Client, SaysThatNobodyListens) {
  const testing::TemporaryDirectory directory;
  EXPECT_THROW(Client(directory.file("s")), NoListener);
}

TEST(Client, HasNoPatienceWithADaemonThatNeverAnswers) {
  const testing::TemporaryDirectory directory;
  const UnixListener mute({directory.file("s"), 0600, {}});  // takes connections, as one that was stopped
  Client client(directory.file("s"), std::chrono::milliseconds(20));
  try {
    client.get("/health");
    FAIL();
  } catch (const NoAnswer& error) {
    EXPECT_EQ(error.what(), "the daemon (pid " + std::to_string(::getpid()) +
                                ") has not answered for 20 ms; it may be stopped");
  }
}

TEST(Client, HasNoMorePatienceAfterASignal) {
  const testing::TemporaryDirectory directory;
  const UnixListener mute({directory.file("s"), 0600, {}});
  Client client(directory.file("s"), std::chrono::milliseconds(100));
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGUSR1, &action, &before);
  std::atomic<bool> gave_up{false};
  std::thread other([&, self = ::pthread_self()] {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    ::pthread_kill(self, SIGUSR1);
    for (int i = 0; i < 1000 && !gave_up; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    if (!gave_up) client.interrupt();
  });
  EXPECT_THROW(client.get("/health"), NoAnswer);
  gave_up = true;
  other.join();
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST(Client, WaitsForAnAnswerToAPostAsLongAsItTakes) {
  Harness harness;
  harness.service.hold("queued");
  Client client(harness.path(), std::chrono::milliseconds(1));
  std::thread other([&] {
    harness.service.wait_until([&] { return harness.service.unfinished() == 1; });
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    harness.service.hold(std::nullopt);
  });
  EXPECT_EQ(client.post("/v1/completions", R"({"prompt": "a"})").status, 200U);
  other.join();
}

TEST(Client, ReadsTheReasonWhenABodyIsRefusedHalfway) {
  Limits limits;
  limits.body_bytes = 1000;
  Harness harness(limits);
  Client client(harness.path());
  EXPECT_EQ(client.post("/v1/tokenize", std::string(8'000'000, ' ')).status, 413u);
}

TEST(Client, NoticesThatTheDaemonIsGone) {
  Harness harness;
  harness.service.hold("decode");
  Client client(harness.path());
  std::thread end([&] {
    harness.service.wait_until([&] { return harness.service.unfinished() == 1; });
    harness.server.reset();
  });
  EXPECT_THROW(client.stream("/v1/completions", kStream, {[](const std::string&) { return true; }, {}}),
               ConnectionLost);
  end.join();
}

TEST(JsonOf, UnderstandsErrorsOfEveryShape) {
  const auto error_of = [](unsigned status, const std::string& body) {
    HttpReply reply;
    reply.status = status;
    reply.body = body;
    try {
      json_of(reply);
    } catch (const std::exception& error) {
      return std::string(error.what());
    }
    return std::string("no error");
  };
  EXPECT_EQ(error_of(200, "{}"), "no error");
  EXPECT_THAT(error_of(200, "<html>"), HasSubstr("not JSON"));
  EXPECT_EQ(error_of(400, R"({"error": {"message": "m", "param": null}})"), "m");
  for (const char* body : {"", "<html>", "[]", "{}", R"({"error": 5})", R"({"error": {"message": 5}})"}) {
    EXPECT_EQ(error_of(502, body), "the daemon answered with status 502") << body;
  }
}

}  // namespace
}  // namespace tandem::ipc
