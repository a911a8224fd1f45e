#include "ipc/status_routes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::Harness;
using ::testing::HasSubstr;
using testing::RawClient;
using testing::RawReply;
using ::testing::StartsWith;

TEST(StatusRoutes, JoinHealthModelMachineAndRequests) {
  Harness harness;
  const RawReply reply = harness.get("/v1/status");
  ASSERT_EQ(reply.status, 200);
  const Json status = reply.json();
  EXPECT_EQ(status["schema"], "tandem.status/1");
  EXPECT_EQ(status["status"], "ok");
  EXPECT_EQ(status["model"]["id"], "fake/words-1B");
  EXPECT_EQ(status["devices"].size(), 2u);
  EXPECT_EQ(status["layers"].size(), 48u);
  EXPECT_EQ(status["rates"]["gb_per_s"], 37.5);
  EXPECT_EQ(status["requests"], Json::array());
}

TEST(StatusRoutes, AreServedWhileTheModelLoads) {
  Harness harness;
  Health health;
  health.state = ServiceState::loading;
  health.load_progress = 0.25;
  harness.service.set_health(health);
  const Json status = harness.get("/v1/status").json();
  EXPECT_EQ(status["status"], "loading");
  EXPECT_EQ(status["load_progress"], 0.25);
}

TEST(StatusRoutes, ShowRequests) {
  Harness harness;
  harness.service.hold("decode");
  RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": "abc", "max_tokens": 9})");
  ASSERT_TRUE(harness.service.wait_until([&] {
    const auto requests = harness.service.requests();
    return !requests.empty() && requests[0].state == "decode";
  }));
  const Json request = harness.get("/v1/status").json()["requests"][0];
  EXPECT_EQ(request, harness.get("/v1/requests").json()["data"][0]);
  EXPECT_EQ(request["state"], "decode");
}

TEST(StatusRoutes, StreamOnePictureAfterAnother) {
  Harness harness;
  RawClient client(harness.path());
  client.request("GET", "/v1/status/stream");
  RawReply head = client.read_head();
  EXPECT_THAT(head.headers["content-type"], StartsWith("text/event-stream"));
  for (int i = 0; i < 2; ++i) {
    const std::string event = client.read_until("\n\n");
    const auto data = testing::sse_data(event.substr(event.find("data: ")));
    ASSERT_EQ(data.size(), 1u);
    EXPECT_EQ(Json::parse(data[0])["schema"], "tandem.status/1");
  }
}

TEST(StatusRoutes, TheStreamsHeadAloneHasAnEnd) {
  Harness harness;
  RawClient client(harness.path());
  client.request("HEAD", "/v1/status/stream");
  EXPECT_EQ(client.read_head().status, 200);
  client.request("GET", "/health");
  EXPECT_EQ(client.read_reply().json()["status"], "ok") << "nothing came between";
}

TEST(StatusRoutes, TheStreamEndsWithTheDaemon) {
  Harness harness;
  RawClient client(harness.path());
  client.request("GET", "/v1/status/stream");
  client.read_until("\n\n");
  Health health;
  health.state = ServiceState::draining;
  harness.service.set_health(health);
  client.read_until("\r\n0\r\n\r\n");
  client.close();
  EXPECT_TRUE(harness.server->drain(std::chrono::seconds(10)));
}

TEST(StatusRoutes, AStreamThatIsWatchedDoesNotHoldUpTheEnd) {
  Harness harness;
  RawClient client(harness.path());
  client.request("GET", "/v1/status/stream");
  client.read_until("\n\n");
  harness.server.reset();
  EXPECT_THROW(client.read_until("never"), std::runtime_error) << "it was closed";
}

TEST(StatusRoutes, ThePageAllowsItselfAndNothingElse) {
  Harness harness;
  RawReply page = harness.get("/");
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.headers["content-type"], "text/html; charset=utf-8");
  EXPECT_THAT(page.headers["content-security-policy"], StartsWith("default-src 'none'; connect-src 'self';"));
  EXPECT_EQ(page.headers["x-content-type-options"], "nosniff");
  for (const char* markup :
       {"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "http://", "https://"}) {
    EXPECT_EQ(page.body.find(markup), std::string::npos) << markup;
  }
}

}  // namespace
}  // namespace tandem::ipc
