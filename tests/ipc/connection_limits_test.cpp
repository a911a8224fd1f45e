#include <future>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/connection.h"
#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

/// What is not HTTP, too much of it or too slow.

using std::chrono::milliseconds;
using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;

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

TEST(Connection, RefusesCompressedBodies) {
  Harness harness;
  for (const std::string coding : {"gzip", "deflate, br", "x"}) {
    RawClient client(harness.path());
    client.send("POST /v1/tokenize HTTP/1.1\r\nContent-Encoding: " + coding +
                "\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08x");
    const RawReply reply = client.read_reply();
    EXPECT_EQ(reply.status, 415) << coding;
    EXPECT_THAT(reply.error_message(), HasSubstr("without Content-Encoding"));
    EXPECT_TRUE(client.at_end()) << coding;
  }
  RawClient client(harness.path());
  client.send(
      "POST /v1/tokenize HTTP/1.1\r\nContent-Encoding: identity\r\nContent-Length: "
      "14\r\n\r\n{\"prompt\":\"a\"}");
  EXPECT_EQ(client.read_reply().status, 200);
}

/// What a proxy in front takes for a body must not be taken for the next request.
TEST(Connection, RefusesTransferCodingsThatItDoesNotKnow) {
  Harness harness;
  const std::string smuggled = "GET /v1/models HTTP/1.1\r\n\r\n";
  for (const std::string fields :
       {"HTTP/1.1\r\nTransfer-Encoding: gzip\r\n", "HTTP/1.1\r\nTransfer-Encoding: identity\r\n",
        "HTTP/1.1\r\nTransfer-Encoding: chunked, gzip\r\n",
        "HTTP/1.1\r\nTransfer-Encoding: chunked, chunked\r\n",
        "HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n", "HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n",
        "HTTP/1.1\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        "HTTP/1.1\r\nTransfer-Encoding: gzip\r\nContent-Length: 5\r\n", "HTTP/1.1\r\nTransfer-Encoding:\r\n",
        "HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n"}) {
    RawClient client(harness.path());
    client.send("POST /v1/tokenize " + fields + "\r\n" + smuggled + smuggled);
    const RawReply reply = client.read_reply();
    EXPECT_EQ(reply.status, 400) << fields;
    EXPECT_TRUE(client.at_end()) << fields;
  }
  RawClient client(harness.path());
  client.send(
      "POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\ne\r\n{\"prompt\":\"a\"}\r\n0\r\n\r\n");
  EXPECT_EQ(client.read_reply().status, 200);
}

TEST(Connection, LogsWhatItRefusesInTheMiddle) {
  Limits limits;
  limits.body_bytes = 10;
  Harness harness(limits);
  RawReply reply = harness.post("/api/chat", std::string(100, 'x'));
  EXPECT_EQ(reply.status, 413);
  EXPECT_NE(reply.headers["x-request-id"], "");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.log().size() == 1; }));
  EXPECT_EQ(harness.log()[0].status, 413u);
  EXPECT_EQ(harness.log()[0].path, "/api/chat");
  EXPECT_EQ(harness.log()[0].request_id, reply.headers["x-request-id"]);
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

/// A read that ended just as the deadline passed is not cancelled any more; the next one has to be.
TEST(Connection, LimitsTheTimeOfABodyThatKeepsComing) {
  Limits limits;
  limits.body_timeout = milliseconds(100);
  limits.body_bytes = std::size_t{1} << 30;
  Harness harness(limits);
  RawClient client(harness.path());
  client.send("POST /v1/tokenize HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
  std::string chunks;
  for (int i = 0; i < 10'000; ++i) chunks += "1\r\nx\r\n";
  const auto end = std::chrono::steady_clock::now() + 3 * limits.body_timeout;
  while (std::chrono::steady_clock::now() < end && client.send(chunks)) continue;
  EXPECT_NO_THROW(client.read_to_end());
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

}  // namespace
}  // namespace tandem::ipc
