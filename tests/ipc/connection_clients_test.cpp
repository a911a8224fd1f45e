#include <deque>
#include <malloc.h>

#include <gtest/gtest.h>

#include "ipc/connection.h"
#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

/// Clients that leave, or do not read.

using std::chrono::milliseconds;
using testing::FakeService;
using testing::Harness;
using testing::RawClient;
using testing::RawReply;

class ClientLeaves : public ::testing::TestWithParam<std::tuple<const char*, bool, bool>> {};

TEST_P(ClientLeaves, ItsRequestEndsAtOnce) {
  const auto& [phase, stream, pipelined] = GetParam();
  Harness harness;
  harness.service.hold(phase);
  {
    RawClient client(harness.path());
    client.request(
        "POST", "/v1/completions",
        std::string(R"({"prompt": "a", "max_tokens": 100, "stream": )") + (stream ? "true}" : "false}"));
    if (pipelined) client.request("GET", "/health");
    ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
    if (stream) client.read_until("\r\n\r\n");
  }
  ASSERT_TRUE(harness.becomes_idle()) << "nothing is being written, and still it is noticed";
  EXPECT_EQ(harness.service.cancelled(), 1u);
  EXPECT_EQ(harness.service.sampled_tok(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Phases, ClientLeaves,
                         ::testing::Combine(::testing::Values("queued", "prompt", "decode"),
                                            ::testing::Bool(), ::testing::Bool()));

TEST(Connection, LeavingWhileThePromptIsTokenizedSubmitsNothing) {
  Harness harness;
  harness.service.hold("tokenize");
  {
    RawClient client(harness.path());
    client.request("POST", "/v1/completions", R"({"prompt": "a"})");
    ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
  }
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.log().size() == 1; }));
  EXPECT_EQ(harness.log()[0].status, 0u) << "left before there was an answer";
  harness.service.hold(std::nullopt);
  EXPECT_EQ(harness.post("/v1/tokenize", R"({"prompt": "a"})").status, 200) << "the helper is free again";
  EXPECT_TRUE(harness.service.submitted().empty());
}

TEST(Connection, LeavingBeforeThePromptIsTokenizedSparesTheWork) {
  Harness harness;
  harness.service.hold("tokenize");
  std::deque<RawClient> stay;
  for (std::size_t i = 0; i < kHelpers; ++i) {
    stay.emplace_back(harness.path()).request("POST", "/v1/tokenize", R"({"prompt": "a"})");
  }
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == kHelpers; }));
  RawClient leaves(harness.path());
  leaves.request("POST", "/v1/tokenize", R"({"prompt": "b"})");
  leaves.close();
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.log().size() == 1; }));
  harness.service.hold(std::nullopt);
  for (auto& stays : stay) EXPECT_EQ(stays.read_reply().status, 200);
  EXPECT_EQ(harness.post("/v1/tokenize", R"({"prompt": "c"})").status, 200);
  EXPECT_EQ(harness.service.tokenize_calls(), kHelpers + 1);
}

TEST(Connection, LongTokenizingHoldsUpNobodyElse) {
  Harness harness;
  harness.service.hold("tokenize");
  RawClient client(harness.path());
  client.request("POST", "/v1/tokenize", R"({"prompt": "a"})");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
  EXPECT_EQ(harness.get("/health").status, 200);
  harness.service.hold(std::nullopt);
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST(Connection, LargeBodiesHoldUpNoSmallOnes) {
  Harness harness;
  harness.service.hold("tokenize");
  RawClient client(harness.path());
  client.request("POST", "/v1/tokenize", Json({{"prompt", std::string(200'000, 'a')}}).dump());
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
  EXPECT_EQ(harness.post("/v1/detokenize", R"({"tokens": [2, 353]})").body, "{\"prompt\":\"a\"}\n");
  harness.service.hold(std::nullopt);
  EXPECT_EQ(client.read_reply().json()["count"], 200'001);
}

TEST(Connection, ARequestThatTakesLongHoldsUpNoneOfItsSize) {
  for (const std::size_t bytes : {1, 200'000}) {
    Harness harness;
    harness.service.hold("tokenize");
    RawClient client(harness.path());
    client.request("POST", "/v1/tokenize", Json({{"prompt", std::string(bytes, 'a')}}).dump());
    ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
    std::string tokens = "2";
    while (tokens.size() < bytes) tokens += ",353";
    EXPECT_EQ(harness.post("/v1/detokenize", "{\"tokens\": [" + tokens + "]}").status, 200) << bytes;
    harness.service.hold(std::nullopt);
    EXPECT_EQ(client.read_reply().status, 200);
  }
}

TEST(Connection, WhoOnlyStopsSendingGetsTheAnswer) {
  Harness harness;
  harness.service.hold("decode");
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 3})");
  client.close_sending();
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  EXPECT_EQ(harness.get("/health").status, 200);
  harness.service.hold(std::nullopt);
  EXPECT_EQ(client.read_reply().json()["choices"][0]["text"], FakeService::answer(3));
  EXPECT_TRUE(client.at_end());
}

TEST(Connection, WhoStopsSendingAndThenLeavesIsNoticed) {
  Harness harness;
  harness.service.hold("decode");
  {
    RawClient client(harness.path());
    client.request("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 3})");
    client.close_sending();
    ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  }
  EXPECT_TRUE(harness.becomes_idle());
}

/// True once the number of tokens stands still.
bool sampling_pauses(const Harness& harness) {
  std::uint64_t before = 0;
  return harness.service.wait_until([&] {
    std::this_thread::sleep_for(milliseconds(50));
    return std::exchange(before, harness.service.sampled_tok()) == harness.service.sampled_tok();
  });
}

TEST(Connection, ASlowReaderPausesItsOwnSequenceOnly) {
  constexpr std::uint64_t kTokens = 30'000;
  Harness harness;
  RawClient slow(harness.path());
  slow.request("POST", "/v1/completions",
               R"({"prompt": "a", "stream": true, "max_tokens": )" + std::to_string(kTokens) + "}");
  ASSERT_TRUE(sampling_pauses(harness));
  EXPECT_LT(harness.service.sampled_tok(), kTokens / 2) << "the answer is not kept in memory";
  EXPECT_EQ(harness.complete(R"({"prompt": "b", "max_tokens": 50})").status, 200);
  const RawReply reply = slow.read_reply();
  std::string text;
  for (const Json& event : testing::sse_events(reply)) {
    text += event["choices"][0]["text"].get<std::string>();
  }
  EXPECT_EQ(text, FakeService::answer(kTokens)) << "and nothing is lost";
}

std::size_t allocated_bytes() {
  const auto info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

TEST(Connection, KeepsNoBodyWhileItAnswers) {
  constexpr std::size_t kClients = 8;
  constexpr std::size_t kBodyBytes = std::size_t{4} << 20;
  Harness harness;
  harness.service.hold("decode");
  const std::string body = R"({"prompt": "a", "stream": true)" + std::string(kBodyBytes, ' ') + "}";
  const std::size_t before = allocated_bytes();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (std::size_t i = 0; i < kClients; ++i) {
    clients.push_back(std::make_unique<RawClient>(harness.path()));
    clients.back()->send("POST /v1/completions HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) +
                         "\r\n\r\n");
    clients.back()->send(body);
    clients.back()->read_until("\r\n\r\n");
  }
  EXPECT_LT(allocated_bytes(), before + kClients * kBodyBytes / 2);
}

TEST(Connection, AReaderThatNeverReadsIsGivenUp) {
  Limits limits;
  limits.stall_timeout = milliseconds(100);
  Harness harness(limits);
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "a", "stream": true, "max_tokens": 1000000})");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(harness.service.cancelled(), 1u);
}

}  // namespace
}  // namespace tandem::ipc
