#include "ipc/router.h"

#include <gtest/gtest.h>

#include "ipc/json_fields.h"

namespace tandem::ipc {
namespace {

HttpReply handle(const std::string& method, const std::string& path) {
  const auto echo = [](const std::string& name) {
    return [name](const HttpRequest&, const std::string& tail) -> Outcome {
      HttpReply reply;
      reply.body = name + " " + tail;
      return reply;
    };
  };
  Router router;
  router.add({{"GET", "/a", echo("list")}, {"GET", "/a/*", echo("one")}});
  router.add({{"DELETE", "/a/*", echo("remove")},
              {"GET", "/refuse",
               [](const HttpRequest&, const std::string&) -> Outcome {
                 throw RequestError(422, "some_type", "no", "field", "some_code");
               }},
              {"GET", "/break", [](const HttpRequest&, const std::string&) -> Outcome {
                 throw std::runtime_error("broken");
               }}});
  HttpRequest request;
  request.method = method;
  request.path = path;
  return std::get<HttpReply>(router.handle(request));
}

TEST(Router, ExactPathsAndTails) {
  EXPECT_EQ(handle("GET", "/a").body, "list ");
  EXPECT_EQ(handle("GET", "/a/b").body, "one b");
  EXPECT_EQ(handle("GET", "/a/b/c").body, "one b/c");
  EXPECT_EQ(handle("DELETE", "/a/b").body, "remove b");
}

TEST(Router, TailsArePercentDecoded) {
  EXPECT_EQ(handle("GET", "/a/b%2Fc%20d").body, "one b/c d");
  EXPECT_EQ(handle("GET", "/a/%e7%8B%90").body, "one 狐");
  EXPECT_EQ(handle("GET", "/a/100%").body, "one 100%");
  EXPECT_EQ(handle("GET", "/a/%zz%4").body, "one %zz%4");
}

TEST(Router, UnknownPathsAre404) {
  for (const char* path : {"/", "/b", "/a/", "/aa", "/A", "//a"}) {
    const HttpReply reply = handle("GET", path);
    EXPECT_EQ(reply.status, 404u) << path;
    EXPECT_EQ(Json::parse(reply.body)["error"]["code"], "unknown_url");
  }
}

TEST(Router, NamesThePathThatWasProbablyMeant) {
  Router router;
  for (const char* path :
       {"/v1/models", "/v1/completions", "/v1/chat/completions", "/api/chat", "/", "/v1/models/*"}) {
    router.add(
        {{"GET", path, [](const HttpRequest&, const std::string&) -> Outcome { return HttpReply(); }}});
  }
  const auto meant = [&router](const std::string& path) {
    HttpRequest request;
    request.method = "GET";
    request.path = path;
    const HttpReply reply = std::get<HttpReply>(router.handle(request));
    EXPECT_EQ(reply.status, 404u) << path;
    const Json error = Json::parse(reply.body)["error"];
    const auto message = (error.is_string() ? error : error["message"]).get<std::string>();
    const auto hint = message.find("did you mean ");
    return hint == std::string::npos ? "" : message.substr(hint + 13);
  };
  EXPECT_EQ(meant("/v1/models/"), "/v1/models?");
  EXPECT_EQ(meant("//v1//models"), "/v1/models?");
  EXPECT_EQ(meant("/models"), "/v1/models?");
  EXPECT_EQ(meant("/completions"), "/v1/completions?");
  EXPECT_EQ(meant("/chat/completions"), "/v1/chat/completions?");
  EXPECT_EQ(meant("/v1/v1/chat/completions"), "/v1/chat/completions?");
  EXPECT_EQ(meant("/v1/api/chat"), "/api/chat?");
  for (const char* path : {"/v1", "/v1/embeddings", "/v1/modelsx", "/s", "//", "*", ""})
    EXPECT_EQ(meant(path), "") << path;
}

TEST(Router, OtherMethodsAre405AndSayWhichThereAre) {
  const HttpReply reply = handle("PATCH", "/a/b");
  EXPECT_EQ(reply.status, 405u);
  ASSERT_EQ(reply.headers.size(), 1u);
  EXPECT_EQ(reply.headers[0].first, "Allow");
  EXPECT_EQ(reply.headers[0].second, "GET, DELETE");
}

TEST(Router, ErrorsBecomeErrorObjects) {
  const HttpReply refused = handle("GET", "/refuse");
  EXPECT_EQ(refused.status, 422u);
  EXPECT_EQ(refused.body,
            R"({"error":{"message":"no","type":"some_type","param":"field","code":"some_code"}})"
            "\n");
  const HttpReply broken = handle("GET", "/break");
  EXPECT_EQ(broken.status, 500u);
  EXPECT_EQ(broken.body, R"({"error":{"message":"broken","type":"server_error","param":null,"code":null}})"
                         "\n");
}

TEST(ActiveRequests, AreFoundByTheirIdAndThatOfASequence) {
  ActiveRequests active;
  active.add("cmpl-1", {"7", {"cmpl-1-0", "cmpl-1-1"}});
  active.add("cmpl-2", {"8", {"cmpl-2"}});
  ASSERT_NE(active.find("cmpl-1"), nullptr);
  EXPECT_EQ(active.find("cmpl-1")->account, "7");
  EXPECT_EQ(active.find("cmpl-1-1"), active.find("cmpl-1"));
  EXPECT_EQ(active.find("cmpl-2")->account, "8");
  for (const char* id : {"", "cmpl", "cmpl-", "cmpl-1-2", "cmpl-2-0", "cmpl-3"}) {
    EXPECT_EQ(active.find(id), nullptr) << id;
  }
  active.remove("cmpl-1");
  EXPECT_EQ(active.find("cmpl-1-1"), nullptr);
}

}  // namespace
}  // namespace tandem::ipc
