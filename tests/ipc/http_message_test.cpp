#include "ipc/http_message.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

TEST(HttpMessage, ARequestsHeadSaysWhoItIsFrom) {
  HttpMessage message{boost::beast::http::verb::post, "http://box.lan:80/v1/models?x=y", 11};
  message.set("Host", "other");
  message.set("Origin", "http://page");
  message.set("authorization", "Bearer k");
  message.set("X-Api-Key", "key");
  message.insert("X-Tandem-Owner", "carol");
  message.insert("X-Tandem-Owner", "dave");
  message.set("Via", "1.1 proxy");
  const RequestHead head = request_head(message, "7");
  EXPECT_EQ(head.id, "7");
  EXPECT_EQ(head.method, "POST");
  EXPECT_EQ(head.path, "/v1/models");
  EXPECT_EQ(head.host, "box.lan:80") << "the target's own counts";
  EXPECT_EQ(head.origin, "http://page");
  EXPECT_EQ(head.authorization, "Bearer k");
  EXPECT_EQ(head.api_key, "key");
  EXPECT_EQ(head.owner, "carol, dave") << "both, so that neither is believed";
  EXPECT_EQ(head.client, "");
  EXPECT_TRUE(head.forwarded);
  message = {boost::beast::http::verb::get, "/", 11};
  message.set("Host", "box");
  EXPECT_EQ(request_head(message, "8").host, "box");
  EXPECT_FALSE(request_head(message, "8").forwarded);
}

TEST(HttpMessage, AHeadTellsWhereItsBodyEnds) {
  HttpReply reply;
  reply.body = "12345";
  const std::string type = "Content-Type: application/json\r\n";
  EXPECT_EQ(head_text(reply, {}, {}), "HTTP/1.1 200 OK\r\n" + type + "Content-Length: 5\r\n\r\n");
  EXPECT_EQ(head_text(reply, {}, {.framing = Framing::chunks}),
            "HTTP/1.1 200 OK\r\n" + type + "Transfer-Encoding: chunked\r\n\r\n");
  EXPECT_EQ(head_text(reply, {}, {.framing = Framing::end_of_connection, .keep_alive = false}),
            "HTTP/1.1 200 OK\r\n" + type + "Connection: close\r\n\r\n");
  EXPECT_EQ(head_text(reply, {}, {.http_1_0 = true}),
            "HTTP/1.1 200 OK\r\n" + type + "Content-Length: 5\r\nConnection: keep-alive\r\n\r\n");
}

TEST(HttpMessage, AHeadHasOneRequestId) {
  HttpReply reply;
  reply.status = 499;
  const std::vector<std::pair<std::string, std::string>> more = {{"Vary", "Origin"}};
  const std::string begin =
      "HTTP/1.1 499 Client Closed Request\r\nContent-Type: application/json\r\nContent-Length: 0\r\n";
  EXPECT_EQ(head_text(reply, more, {.request_id = "7"}), begin + "Vary: Origin\r\nX-Request-Id: 7\r\n\r\n");
  reply.headers = {{"X-Request-Id", "cmpl-7"}};
  EXPECT_EQ(head_text(reply, {}, {.request_id = "7"}), begin + "X-Request-Id: cmpl-7\r\n\r\n");
}

TEST(HttpMessage, AChunkHasItsSizeInHex) {
  EXPECT_EQ(chunk_text("abc"), "3\r\nabc\r\n");
  EXPECT_EQ(chunk_text(std::string(26, 'x')), "1a\r\n" + std::string(26, 'x') + "\r\n");
  EXPECT_EQ(chunk_text(""), "0\r\n\r\n");
}

}  // namespace
}  // namespace tandem::ipc
