#include "ipc/error_dialect.h"

#include <gtest/gtest.h>

#include "ipc/json_fields.h"

namespace tandem::ipc {
namespace {

Json body_at(const char* path) {
  return Json::parse(error_reply_at(path, RequestError(404, "some_type", "no", "field", "some_code")).body);
}

TEST(ErrorDialect, IsThatOfThePath) {
  for (const char* path :
       {"/v1/messages", "/v1/messages/", "/v1/messages/count_tokens", "/v1/messages/x/y"}) {
    EXPECT_EQ(
        body_at(path).dump(),
        R"({"type":"error","error":{"type":"not_found_error","message":"no","details":{"error_code":"some_code"}}})")
        << path;
  }
  for (const char* path : {"/api", "/api/", "/api/chat", "/api/nothing/here"}) {
    EXPECT_EQ(body_at(path).dump(), R"({"error":"no"})") << path;
  }
  for (const char* path : {"", "/", "/v1", "/v1/message", "/v1/messages2", "/v1/chat/completions", "/apis",
                           "/health", "/x/api/chat", "v1/messages", "*"}) {
    EXPECT_EQ(body_at(path).dump(),
              R"({"error":{"message":"no","type":"some_type","param":"field","code":"some_code"}})")
        << path;
  }
}

TEST(ErrorDialect, WhateverIsThrownBecomesAnAnswer) {
  const auto refused = std::make_exception_ptr(RequestError(422, "t", "no such thing"));
  EXPECT_EQ(error_reply_at("/api/chat", refused).status, 422u);
  EXPECT_EQ(Json::parse(error_reply_at("/api/chat", refused).body)["error"], "no such thing");
  const auto broken = std::make_exception_ptr(std::runtime_error("oops"));
  EXPECT_EQ(error_reply_at("/v1/messages", broken).status, 500u);
  EXPECT_EQ(Json::parse(error_reply_at("/v1/messages", broken).body)["error"]["type"], "api_error");
  EXPECT_EQ(Json::parse(error_reply_at("/", broken).body)["error"]["type"], "server_error");
}

}  // namespace
}  // namespace tandem::ipc
