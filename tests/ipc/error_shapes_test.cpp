#include <fstream>
#include <sys/stat.h>

#include <gtest/gtest.h>

#include "ipc/error_dialect.h"
#include "tests/ipc/harness.h"

/// Whatever ends a request before its route sees it is said in the words of the path's dialect.

namespace tandem::ipc {
namespace {

using testing::Harness;
using testing::RawClient;
using testing::RawReply;

/// Which dialect's error object this is: its members and nothing else.
std::string dialect_of(const RawReply& reply) {
  const Json body = reply.json();
  if (body.contains("type")) {
    const Json& error = body["error"];
    const bool has_code = error.contains("details");
    const bool whole =
        body.size() == 2 && body["type"] == "error" && error.size() == (has_code ? 3 : 2) &&
        error["type"].is_string() && error["message"].is_string() &&
        (!has_code || (error["details"].size() == 1 && error["details"]["error_code"].is_string()));
    return whole ? "anthropic" : "broken";
  }
  if (body.size() != 1) return "broken";
  if (body["error"].is_string()) return "ollama";
  const Json& error = body["error"];
  return error.size() == 4 && error["message"].is_string() && error.contains("param") ? "openai" : "broken";
}

struct Place {
  const char* path;
  const char* dialect;
};
constexpr Place kPlaces[] = {{"/v1/chat/completions", "openai"},
                             {"/v1/messages", "anthropic"},
                             {"/v1/messages/count_tokens", "anthropic"},
                             {"/api/chat", "ollama"}};

/// Sends `rest` after "POST PATH" to each of the places.
void expect_shapes(const Harness& harness, int status, const std::string& rest) {
  for (const Place& place : kPlaces) {
    RawClient client(harness.path());
    client.send(std::string("POST ") + place.path + rest);
    client.close_sending();
    const RawReply reply = client.read_reply();
    EXPECT_EQ(reply.status, status) << place.path << rest;
    EXPECT_EQ(dialect_of(reply), place.dialect) << place.path << rest;
  }
}

TEST(ErrorShapes, OfMalformedRequests) {
  const Harness harness;
  for (const char* rest :
       {" HTTP/2.0\r\n\r\n", "?a=b HTTP/1.1\r\nno colon\r\n\r\n", " HTTP/1.1\r\nContent-Len",
        " HTTP/1.1\r\nContent-Length: x\r\n\r\n", " HTTP/1.1\r\nContent-Length: 5\r\n\r\n{",
        " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", " HTTP/1.1", "?x"}) {
    expect_shapes(harness, 400, rest);
  }
}

TEST(ErrorShapes, OfRequestsThatAreTooLargeOrTooSlow) {
  Limits limits;
  limits.header_bytes = 1000;
  limits.body_bytes = 100;
  const Harness harness(limits);
  expect_shapes(harness, 431, " HTTP/1.1\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n");
  expect_shapes(harness, 413, " HTTP/1.1\r\nContent-Length: 101\r\n\r\n");
  limits.header_timeout = limits.body_timeout = std::chrono::milliseconds(50);
  const Harness hasty(limits);
  for (const Place& place : kPlaces) {
    for (const char* rest : {" HTTP/1.1\r\nHost:", " HTTP/1.1\r\nContent-Length: 9\r\n\r\n{"}) {
      RawClient client(hasty.path());
      client.send(std::string("POST ") + place.path + rest);
      const RawReply reply = client.read_reply();
      EXPECT_EQ(reply.status, 408);
      EXPECT_EQ(dialect_of(reply), place.dialect) << place.path << rest;
    }
  }
}

/// One connection: what was known of one request says nothing about the next.
TEST(ErrorShapes, OfTheNextRequestAreItsOwn) {
  const Harness harness;
  RawClient client(harness.path());
  client.request("GET", "/api/version");
  EXPECT_EQ(client.read_reply().status, 200);
  client.send("GET /v1/messages HTTP/1.1\r\nno colon\r\n\r\n");
  EXPECT_EQ(dialect_of(client.read_reply()), "anthropic");
  RawClient other(harness.path());
  other.request("GET", "/api/version");
  EXPECT_EQ(other.read_reply().status, 200);
  other.send("hello\r\n\r\n");
  EXPECT_EQ(dialect_of(other.read_reply()), "openai");
}

TEST(ErrorShapes, OfWrongPathsMethodsAndLabels) {
  Harness harness;
  for (const auto& [path, dialect] :
       {Place{"/v1/nothing", "openai"}, Place{"/v1/messages/batches", "anthropic"},
        Place{"/api/pull", "ollama"}}) {
    const RawReply reply = harness.get(path);
    EXPECT_EQ(reply.status, 404);
    EXPECT_EQ(dialect_of(reply), dialect) << path;
  }
  for (const Place& place : kPlaces) {
    RawReply reply = testing::once(harness.path(), "PUT", place.path);
    EXPECT_EQ(reply.status, 405);
    EXPECT_EQ(reply.headers["allow"], "POST");
    EXPECT_EQ(dialect_of(reply), place.dialect) << place.path;
    reply = testing::once(harness.path(), "POST", place.path, "{}", "X-Tandem-Client: a b\r\n");
    EXPECT_EQ(reply.status, 400);
    EXPECT_EQ(dialect_of(reply), place.dialect) << place.path;
    reply = testing::once(harness.path(), "POST", place.path, "{}", "X-Tandem-Owner: carol\r\n");
    EXPECT_EQ(reply.status, 403);
    EXPECT_EQ(dialect_of(reply), place.dialect) << place.path;
  }
}

TEST(ErrorShapes, WithoutAKeyOrFromAStrangeHost) {
  const testing::TemporaryDirectory directory;
  std::ofstream(directory.file("keys")) << "alice 0123456789abcdef\n";
  ::chmod(directory.file("keys").c_str(), 0600);
  const TcpGate gate({"127.0.0.1:8080", ApiKeys::read(directory.file("keys")), {}, {}},
                     parse_tcp_address("127.0.0.1:8080"));
  for (const Place& place : kPlaces) {
    RequestHead head;
    head.method = "POST";
    head.path = place.path;
    for (const auto& [host, status] : {std::pair("localhost:8080", 401), std::pair("evil.example", 403)}) {
      head.host = host;
      const HttpReply refused = gate.admit(head).reply.value();
      EXPECT_EQ(refused.status, static_cast<unsigned>(status));
      EXPECT_EQ(dialect_of({status, {}, refused.body, {}}), place.dialect) << place.path;
    }
  }
}

/// A request that is being read while the daemon begins to shut down is refused once it is whole.
TEST(ErrorShapes, OfADaemonThatShutsDown) {
  Harness harness;
  std::vector<std::unique_ptr<RawClient>> clients;
  for (const Place& place : kPlaces) {
    auto& client = clients.emplace_back(std::make_unique<RawClient>(harness.path()));
    client->send(std::string("POST ") + place.path +
                 " HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    client->read_until("\r\n\r\n");
  }
  EXPECT_FALSE(harness.server->drain(std::chrono::milliseconds(0)));
  for (std::size_t i = 0; i < clients.size(); ++i) {
    clients[i]->send("{}");
    const RawReply reply = clients[i]->read_reply();
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(dialect_of(reply), kPlaces[i].dialect) << kPlaces[i].path;
  }
}

}  // namespace
}  // namespace tandem::ipc
