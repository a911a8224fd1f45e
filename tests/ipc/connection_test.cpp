#include "ipc/connection.h"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

/// HTTP as clients write it.

using testing::Harness;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;
using ::testing::StartsWith;

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

/// HTTP/1.0 has no answers before the answer (RFC 9110 10.1.1).
TEST(Connection, SaysNothingBeforehandToHttp10) {
  Harness harness;
  RawClient client(harness.path());
  client.send(
      "POST /v1/tokenize HTTP/1.0\r\nContent-Length: 14\r\nExpect: 100-continue\r\n\r\n{\"prompt\":\"a\"}");
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
