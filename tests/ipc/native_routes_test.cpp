#include "ipc/native_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::Harness;
using ::testing::HasSubstr;
using testing::RawReply;

TEST(NativeRoutes, HealthSaysWhetherRequestsAreTaken) {
  Harness harness;
  RawReply reply = harness.get("/health");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers["content-type"], "application/json");
  EXPECT_EQ(reply.json(),
            Json::parse(R"({"status": "ok", "load_progress": 1.0, "uptime_s": 0, "version": "fake"})"));
  harness.service.set_health({ServiceState::loading, 0.25, 3, "1"});
  reply = harness.get("/health");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.json(),
            Json::parse(R"({"status": "loading", "load_progress": 0.25, "uptime_s": 3, "version": "1"})"));
  harness.service.set_health({ServiceState::draining, 1.0, 3, "1"});
  EXPECT_EQ(harness.get("/health").json()["status"], "draining");
}

TEST(NativeRoutes, MetricsAndPlanAreTheServices) {
  Harness harness;
  RawReply metrics = harness.get("/metrics");
  EXPECT_EQ(metrics.status, 200);
  EXPECT_EQ(metrics.headers["content-type"], "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_THAT(metrics.body, HasSubstr("\ntandem_requests_total 0\n"));
  RawReply plan = harness.get("/v1/plan");
  EXPECT_EQ(plan.headers["content-type"], "application/json");
  EXPECT_EQ(plan.json()["plan"]["schema"], "tandem.plan/1");
}

TEST(NativeRoutes, RequestsAreListed) {
  Harness harness;
  EXPECT_EQ(harness.get("/v1/requests").json(), Json::parse(R"({"object": "list", "data": []})"));
  harness.service.hold("prompt");
  testing::RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "abc", "max_tokens": 9})");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  ASSERT_TRUE(harness.service.wait_until(
      [&] { return harness.get("/v1/requests").json()["data"][0]["state"] == "prompt"; }));
  const Json info = harness.get("/v1/requests").json()["data"][0];
  EXPECT_EQ(info["id"], harness.service.submitted()[0].id);
  EXPECT_EQ(info["owner"], std::to_string(::getuid()));
  EXPECT_EQ(info["prompt_tokens"], 4);
  EXPECT_EQ(info["prompt_tokens_done"], 0);
  EXPECT_EQ(info["completion_tokens"], 0);
  EXPECT_EQ(info["max_tokens"], 9);
  EXPECT_TRUE(info["age_us"].is_number_unsigned());
}

TEST(NativeRoutes, TokenizeAndDetokenize) {
  Harness harness;
  EXPECT_EQ(harness.post("/v1/tokenize", R"({"prompt": "a<eos>"})").json(),
            Json::parse(R"({"tokens": [2, 353, 1], "count": 3, "max_model_len": 4096})"));
  EXPECT_EQ(harness
                .post("/v1/tokenize",
                      R"({"model": "m", "prompt": "<", "add_special_tokens": false,
                          "parse_special_tokens": false})")
                .json()["tokens"],
            Json::parse("[316]"));
  EXPECT_EQ(
      harness.post("/v1/tokenize", R"({"prompt": "<eos>", "parse_special_tokens": false})").json()["count"],
      6);
  EXPECT_EQ(harness.post("/v1/detokenize", R"({"tokens": [2, 353, 354]})").body, "{\"prompt\":\"ab\"}\n");
  EXPECT_EQ(harness.post("/v1/detokenize", R"({"tokens": []})").body, "{\"prompt\":\"\"}\n");
}

TEST(NativeRoutes, TokenizeKeepsToTheLimitOfPrompts) {
  Limits limits;
  limits.prompt_tok = 3;
  Harness harness(limits);
  EXPECT_EQ(harness.post("/v1/tokenize", R"({"prompt": "ab"})").json()["count"], 3);
  const RawReply refused = harness.post("/v1/tokenize", R"({"prompt": "abc"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "prompt");
  EXPECT_EQ(refused.error_message(), "'prompt' has 4 tokens, the limit prompt_tok is 3");
}

TEST(NativeRoutes, HalfACharacterIsReplacedInJson) {
  Harness harness;
  EXPECT_EQ(harness.post("/v1/detokenize", R"({"tokens": [487, 395]})").body,
            "{\"prompt\":\"\xef\xbf\xbd\"}\n");
}

TEST(NativeRoutes, RefuseWrongBodies) {
  Harness harness;
  struct Case {
    std::string path, body, param;
  };
  const Case cases[] = {
      {"/v1/tokenize", "{}", "prompt"},
      {"/v1/tokenize", R"({"prompt": 5})", "prompt"},
      {"/v1/tokenize", R"({"prompt": "a", "content": "a"})", "content"},
      {"/v1/tokenize", R"({"prompt": "a", "add_special_tokens": 1})", "add_special_tokens"},
      {"/v1/detokenize", "{}", "tokens"},
      {"/v1/detokenize", R"({"tokens": "a"})", "tokens"},
      {"/v1/detokenize", R"({"tokens": [-1]})", "tokens"},
      {"/v1/detokenize", R"({"tokens": [1.0]})", "tokens"},
      {"/v1/detokenize", R"({"tokens": [4294967298]})", "tokens"},
      {"/v1/detokenize", R"({"tokens": [18446744073709551615]})", "tokens"},
      {"/v1/detokenize", R"({"tokens": [512]})", "tokens"},
  };
  for (const Case& one : cases) {
    const RawReply reply = harness.post(one.path, one.body);
    EXPECT_EQ(reply.status, 400) << one.body;
    EXPECT_EQ(reply.json()["error"]["param"], one.param) << one.body;
  }
}

class CancelTest : public ::testing::Test {
 protected:
  HttpReply remove(const std::string& id, uid_t uid) {
    Router router;
    router.add(native_routes(context_));
    HttpRequest request;
    request.method = "DELETE";
    request.path = "/v1/requests/" + id;
    request.sender = {std::to_string(uid), std::to_string(uid), uid == 0};
    return std::get<HttpReply>(router.handle(request));
  }
  void submit(const std::string& id) {
    GenerationRequest request;
    request.id = id;
    request.prompt = {2};
    service_.submit(request, std::make_shared<EventStream>(8));
  }
  void SetUp() override {
    service_.hold("queued");
    submit("cmpl-1-0");
    submit("cmpl-1-1");
    context_.active.add("cmpl-1", {"1000", {"cmpl-1-0", "cmpl-1-1"}});
  }

  testing::FakeService service_;
  RouteContext context_{service_, {}, {}};
};

TEST_F(CancelTest, TheOwnerCancelsAll) {
  EXPECT_EQ(remove("cmpl-1", 1000).body, R"({"id":"cmpl-1","object":"request","cancelled":true})"
                                         "\n");
  EXPECT_EQ(service_.cancelled(), 2u);
  EXPECT_EQ(Json::parse(remove("cmpl-1", 1000).body)["cancelled"], false);
}

TEST_F(CancelTest, OrOneOfThem) {
  EXPECT_EQ(remove("cmpl-1-1", 1000).status, 200u);
  EXPECT_EQ(service_.cancelled(), 1u);
}

TEST_F(CancelTest, SoDoesRootAndNobodyElse) {
  EXPECT_EQ(remove("cmpl-1", 1001).status, 403u);
  EXPECT_EQ(service_.cancelled(), 0u);
  EXPECT_EQ(remove("cmpl-1", 0).status, 200u);
  EXPECT_EQ(service_.cancelled(), 2u);
}

TEST_F(CancelTest, UnknownRequestsAre404) {
  EXPECT_EQ(remove("cmpl-2", 1000).status, 404u);
  EXPECT_EQ(remove("cmpl-1-2", 1000).status, 404u);
}

}  // namespace
}  // namespace tandem::ipc
