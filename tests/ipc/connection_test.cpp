#include "ipc/connection.h"

#include <future>
#include <malloc.h>
#include <random>
#include <set>
#include <sys/socket.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using std::chrono::milliseconds;
using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;
using ::testing::StartsWith;

// ---- HTTP as clients write it

TEST(Connection, AnswersOneRequestAfterAnother) {
  Harness harness;
  RawClient client(harness.path());
  std::set<std::string> ids;
  for (int i = 0; i < 3; ++i) {
    client.request("GET", "/health");
    RawReply reply = client.read_reply();
    EXPECT_EQ(reply.status, 200);
    EXPECT_FALSE(reply.headers.contains("connection"));
    ids.insert(reply.headers["x-request-id"]);
    client.request("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 2, "stream": true})");
    EXPECT_THAT(client.read_reply().body, HasSubstr("[DONE]"));
  }
  EXPECT_EQ(ids.size(), 3u) << "request ids are unique";
}

TEST(Connection, AnswersPipelinedRequestsInOrder) {
  Harness harness;
  RawClient client(harness.path());
  std::string bytes;
  for (int i = 0; i < 20; ++i) {
    const std::string body = R"({"prompt": "a", "stream": true, "max_tokens": )" + std::to_string(i) + "}";
    bytes += "POST /v1/completions HTTP/1.1\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" +
             body + "GET /v1/models/" + std::to_string(i) + " HTTP/1.1\r\n\r\n";
  }
  client.send(bytes);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(testing::sse_data(client.read_reply().body).size(), static_cast<std::size_t>(i) + 2);
    EXPECT_THAT(client.read_reply().error_message(), HasSubstr("model '" + std::to_string(i) + "'"));
  }
}

TEST(Connection, TakesARequestThatArrivesWhileAnotherIsAnswered) {
  Harness harness;
  harness.service.hold("decode");
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 2, "stream": true})");
  client.read_until("progress");
  client.send("GET /hea");
  client.send("lth HTTP/1.1\r\n\r\n");
  harness.service.hold(std::nullopt);
  client.read_until("[DONE]\n\n\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_reply().json()["status"], "ok");
}

TEST(Connection, TakesARequestByteByByte) {
  Harness harness;
  RawClient client(harness.path());
  for (const char c :
       std::string("POST /v1/tokenize HTTP/1.1\r\nContent-Length: 14\r\n\r\n{\"prompt\":\"a\"}")) {
    ASSERT_TRUE(client.send({&c, 1}));
  }
  EXPECT_EQ(client.read_reply().json()["count"], 2);
}

TEST(Connection, TakesAChunkedBody) {
  Harness harness;
  RawClient client(harness.path());
  client.send(
      "POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"pro\r\n9;x=y\r\nmpt\":\"a\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_reply().json()["count"], 2);
}

TEST(Connection, SaysContinueToThoseWhoWait) {
  Harness harness;
  RawClient client(harness.path());
  client.send("POST /v1/tokenize HTTP/1.1\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("{\"prompt\":\"a\"}");
  EXPECT_EQ(client.read_reply().json()["count"], 2);
}

TEST(Connection, HeadHasNoBody) {
  Harness harness;
  RawClient client(harness.path());
  client.send("HEAD /health HTTP/1.1\r\n\r\nGET /health HTTP/1.1\r\n\r\n");
  RawReply head = client.read_head();
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.headers["content-length"], std::to_string(client.read_reply().body.size()));
}

TEST(Connection, AnyHostAndAnyFormOfTarget) {
  Harness harness;
  for (const std::string request :
       {"GET /health HTTP/1.1\r\nHost: evil.example\r\n\r\n", "GET /health HTTP/1.1\r\n\r\n",
        "GET /health?verbose=1 HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x/health HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET http://x:80/health?q HTTP/1.1\r\nHost: x\r\n\r\n"}) {
    RawClient client(harness.path());
    client.send(request);
    EXPECT_EQ(client.read_reply().status, 200) << request;
  }
  RawClient client(harness.path());
  client.send("GET http://x HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(client.read_reply().headers["content-type"], "text/html; charset=utf-8") << "the page at /";
}

TEST(Connection, ClosesIfAsked) {
  Harness harness;
  RawClient client(harness.path());
  client.request("GET", "/health", "", "Connection: close\r\n");
  EXPECT_EQ(client.read_reply().headers["connection"], "close");
  EXPECT_TRUE(client.at_end());
}

TEST(Connection, Http10HasNoChunks) {
  Harness harness;
  RawClient client(harness.path());
  const std::string body = R"({"prompt": "a", "max_tokens": 2, "stream": true})";
  client.send("POST /v1/completions HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  RawReply reply = client.read_reply();
  EXPECT_FALSE(reply.headers.contains("transfer-encoding"));
  EXPECT_EQ(reply.headers["connection"], "close");
  EXPECT_THAT(reply.body, StartsWith(": progress"));
  EXPECT_THAT(reply.body, ::testing::EndsWith("data: [DONE]\n\n"));
}

TEST(Connection, Http10StaysOnlyIfAsked) {
  Harness harness;
  RawClient stays(harness.path());
  stays.send("GET /health HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_EQ(stays.read_reply().headers["connection"], "keep-alive");
  stays.send("GET /health HTTP/1.0\r\n\r\n");
  EXPECT_EQ(stays.read_reply().headers["connection"], "close");
  EXPECT_TRUE(stays.at_end());
}

TEST(Connection, LabelsTheOwner) {
  Harness harness;
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "a"})", "X-Tandem-Client: editor.1\r\n");
  EXPECT_EQ(client.read_reply().status, 200);
  EXPECT_EQ(harness.service.submitted().at(0).owner, std::to_string(::getuid()) + "/editor.1");
  for (const std::string& label : {std::string("a b"), std::string("a/b"), std::string(65, 'a')}) {
    client.request("POST", "/v1/completions", R"({"prompt": "a"})", "X-Tandem-Client: " + label + "\r\n");
    EXPECT_EQ(client.read_reply().status, 400) << label;
  }
}

// ---- What is not HTTP, or too much of it

TEST(Connection, RefusesMalformedRequestsAndCloses) {
  Harness harness;
  for (const std::string bytes :
       {"\r\n\r\n\r\n", "hello\r\n\r\n", "GET\r\n\r\n", "GET /health\r\n\r\n", "GET /health HTTP/2.0\r\n\r\n",
        "GET /health HTTP/1.1\r\nbad header\r\n\r\n", "GET /health HTTP/1.1\r\n: x\r\n\r\n",
        "GET / health HTTP/1.1\r\n\r\n", "GET /health HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET /health HTTP/1.1\r\nContent-Length: 1x\r\n\r\n",
        "GET /health HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
        "GET /health HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "GET /health HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
        "\x16\x03\x01\x02\x01\x01\xfc\x03\x03", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}) {
    RawClient client(harness.path());
    client.send(bytes);
    client.close_sending();
    const RawReply reply = client.read_reply();
    EXPECT_EQ(reply.status, 400) << bytes;
    EXPECT_THAT(reply.error_message(), HasSubstr("malformed HTTP")) << bytes;
    EXPECT_TRUE(client.at_end()) << bytes;
  }
}

TEST(Connection, AnIncompleteRequestIsToldSo) {
  Harness harness;
  for (const std::string bytes : {"GET /hea", "POST /v1/tokenize HTTP/1.1\r\nContent-Length: 5\r\n\r\nab"}) {
    RawClient client(harness.path());
    client.send(bytes);
    client.close_sending();
    EXPECT_EQ(client.read_reply().status, 400) << bytes;
    EXPECT_TRUE(client.at_end()) << bytes;
  }
}

TEST(Connection, LimitsTheHeader) {
  Limits limits;
  limits.header_bytes = 1000;
  Harness harness(limits);
  const auto with_header = [](std::size_t size) { return "X-Long: " + std::string(size, 'a') + "\r\n"; };
  EXPECT_EQ(testing::once(harness.path(), "GET", "/health", "", with_header(800)).status, 200);
  for (const std::size_t size : {1000u, 100'000u, 5'000'000u}) {
    const RawReply reply = testing::once(harness.path(), "GET", "/health", "", with_header(size));
    EXPECT_EQ(reply.status, 431);
    EXPECT_THAT(reply.error_message(), HasSubstr("the limit header_bytes, 1000"));
  }
  EXPECT_EQ(testing::once(harness.path(), "GET", "/" + std::string(2000, 'a')).status, 431);
}

TEST(Connection, LimitsTheBody) {
  Limits limits;
  limits.body_bytes = 1000;
  Harness harness(limits);
  const auto body = [](std::size_t size) { return "{\"prompt\":\"" + std::string(size - 13, 'a') + "\"}"; };
  EXPECT_EQ(harness.post("/v1/tokenize", body(1000)).status, 200);
  for (const std::size_t size : {1001u, 10'000'000u}) {
    RawReply reply = harness.post("/v1/tokenize", body(size));
    EXPECT_EQ(reply.status, 413);
    EXPECT_EQ(reply.headers["connection"], "close");
    EXPECT_THAT(reply.error_message(), HasSubstr("the limit body_bytes, 1000"));
  }
}

TEST(Connection, LimitsAChunkedBody) {
  Limits limits;
  limits.body_bytes = 1000;
  Harness harness(limits);
  RawClient client(harness.path());
  client.send("POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (int i = 0; i < 100; ++i) client.send("64\r\n" + std::string(100, 'a') + "\r\n");
  EXPECT_EQ(client.read_reply().status, 413);
}

TEST(Connection, LimitsAChunkHeader) {
  Harness harness;
  const auto with_extension = [&](std::size_t size) {
    RawClient client(harness.path());
    client.send("POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("e;a=" + std::string(size, 'x') + "\r\n{\"prompt\":\"a\"}\r\n0\r\n\r\n");
    return client.read_reply();
  };
  EXPECT_EQ(with_extension(50'000).status, 200);
  const RawReply reply = with_extension(1'000'000);
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.error_message(), HasSubstr("a chunk header is too long"));
}

TEST(Connection, LimitsNesting) {
  Harness harness;
  const RawReply reply = harness.complete("{\"prompt\": " + std::string(100'000, '['));
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.error_message(), HasSubstr("json_depth"));
}

TEST(Connection, LimitsTheTimeARequestMayTake) {
  Limits limits;
  limits.header_timeout = milliseconds(50);
  limits.body_timeout = milliseconds(50);
  Harness harness(limits);
  for (const std::string bytes :
       {"GET /health HT", "POST /v1/tokenize HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"}) {
    RawClient client(harness.path());
    client.send(bytes);
    EXPECT_EQ(client.read_reply().status, 408) << bytes;
    EXPECT_TRUE(client.at_end());
  }
}

/// The I/O thread is busy while the last bytes arrive and the deadline passes: both are there when it looks.
TEST(Connection, ADeadlineThatWasMetClosesNothing) {
  testing::TemporaryDirectory directory;
  FakeService service;
  std::promise<void> busy;
  std::promise<void> all_sent;
  ServerOptions options;
  options.socket.path = directory.file("s");
  options.limits.body_timeout = milliseconds(500);
  options.access_log = [&](const AccessRecord& record) {
    if (record.path != "/health") return;
    busy.set_value();
    all_sent.get_future().wait();
    std::this_thread::sleep_for(options.limits.body_timeout);
  };
  const Server server(options, service);
  RawClient client(server.path());
  client.send("POST /v1/tokenize HTTP/1.1\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n");
  client.read_until("\r\n\r\n");
  RawClient other(server.path());
  other.request("GET", "/health");
  busy.get_future().wait();
  client.send("{\"prompt\":\"a\"}");
  all_sent.set_value();
  EXPECT_EQ(client.read_reply().json()["count"], 2);
}

TEST(Connection, ClosesWhenIdleForLong) {
  Limits limits;
  limits.idle_timeout = milliseconds(50);
  Harness harness(limits);
  RawClient fresh(harness.path());
  EXPECT_TRUE(fresh.at_end());
  RawClient used(harness.path());
  used.request("GET", "/health");
  EXPECT_EQ(used.read_reply().status, 200);
  EXPECT_TRUE(used.at_end());
}

/// `bytes` with a few of them changed, removed or doubled.
std::string mutated(std::string bytes, std::mt19937& random) {
  for (auto changes = 1 + random() % 4; changes > 0; --changes) {
    const std::size_t at = random() % bytes.size();
    const std::size_t length = std::min<std::size_t>(1 + random() % 8, bytes.size() - at);
    switch (random() % 4) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        if (length < bytes.size()) bytes.erase(at, length);
        break;
      case 2:
        bytes.insert(at, bytes.substr(at, length));
        break;
      default:
        bytes[at] = "\r\n :{}[]\",0"[random() % 11];
    }
  }
  return bytes;
}

TEST(Connection, EveryMutatedRequestGetsAnEnd) {
  testing::FakeOptions options;
  options.answer_tok = 50;
  Harness harness({}, options);
  std::mt19937 random(7);
  const std::string body = R"({"prompt": ["a", "b"], "max_tokens": 3, "stop": "x", "stream": true})";
  const std::string seeds[] = {
      "POST /v1/completions HTTP/1.1\r\nHost: x\r\nContent-Length: " + std::to_string(body.size()) +
          "\r\n\r\n" + body + "GET /v1/models HTTP/1.1\r\n\r\n",
      "POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5\r\n{\"pro\r\n9\r\nmpt\":\"a\"}\r\n0\r\n\r\n"};
  int served = 0;
  int refused = 0;
  for (int i = 0; i < 3000; ++i) {
    RawClient client(harness.path());
    client.send(mutated(seeds[i % 2], random));
    client.close_sending();
    const auto answer = client.read_to_end();
    EXPECT_FALSE(answer.starts_with("HTTP/1.1 5")) << answer;
    if (answer.starts_with("HTTP/1.1 200")) ++served;
    if (answer.starts_with("HTTP/1.1 4")) ++refused;
  }
  EXPECT_GT(served, 50);
  EXPECT_GT(refused, 200);
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(harness.get("/health").status, 200);
}

// ---- Clients that leave, or do not read

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
  RawClient stays(harness.path());
  stays.request("POST", "/v1/tokenize", R"({"prompt": "a"})");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.tokenizing() == 1; }));
  RawClient leaves(harness.path());
  leaves.request("POST", "/v1/tokenize", R"({"prompt": "b"})");
  leaves.close();
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.log().size() == 1; }));
  harness.service.hold(std::nullopt);
  EXPECT_EQ(stays.read_reply().status, 200);
  EXPECT_EQ(harness.post("/v1/tokenize", R"({"prompt": "c"})").status, 200);
  EXPECT_EQ(harness.service.tokenize_calls(), 2u);
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
  for (const std::string& data : testing::sse_data(reply.body)) {
    if (data != "[DONE]") text += Json::parse(data)["choices"][0]["text"].get<std::string>();
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

TEST(Connection, LogsEveryRequestOnceAndNoText) {
  Harness harness;
  EXPECT_EQ(harness.complete(R"({"prompt": "secret", "max_tokens": 1})").status, 200);
  EXPECT_EQ(harness.get("/nowhere?secret").status, 404);
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.log().size() == 2; }));
  const auto log = harness.log();
  EXPECT_EQ(log[0].method, "POST");
  EXPECT_EQ(log[0].path, "/v1/completions");
  EXPECT_EQ(log[0].status, 200u);
  EXPECT_EQ(log[0].account, std::to_string(::getuid()));
  EXPECT_EQ(log[1].path, "/nowhere");
  EXPECT_EQ(log[1].status, 404u);
}

}  // namespace
}  // namespace tandem::ipc
