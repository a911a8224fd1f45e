#include "ipc/anthropic_messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawReply;
using testing::sse_events;
using ::testing::StartsWith;

TEST(AnthropicMessages, AnswersWhole) {
  Harness harness;
  RawReply reply = harness.post("/v1/messages", R"({"model": "m", "max_tokens": 3,
      "messages": [{"role": "user", "content": "hello"}]})");
  EXPECT_EQ(reply.status, 200);
  const Json body = reply.json();
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("msg_"));
  EXPECT_EQ(body["type"], "message");
  EXPECT_EQ(body["content"], Json::array({{{"type", "text"}, {"text", FakeService::answer(3)}}}));
  EXPECT_EQ(body["stop_reason"], "max_tokens");
  EXPECT_EQ(body["stop_sequence"], nullptr);
  EXPECT_EQ(body["usage"]["output_tokens"], 3);
  EXPECT_EQ(body["usage"]["input_tokens"], harness.service.submitted().at(0).prompt.size());
}

TEST(AnthropicMessages, StreamsBlocksInTheApisOrder) {
  Harness harness;
  const RawReply reply = harness.post("/v1/messages", R"({"model": "m", "max_tokens": 6, "stream": true,
      "thinking": {"type": "enabled", "budget_tokens": 1024},
      "messages": [{"role": "user", "content": "hello"}]})");
  std::vector<std::string> types;
  std::string thought;
  std::string text;
  for (const Json& event : sse_events(reply)) {
    const auto type = event["type"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
    if (type != "content_block_delta") continue;
    const Json& delta = event["delta"];
    if (delta["type"] == "thinking_delta") {
      EXPECT_EQ(event["index"], 0);
      thought += delta["thinking"].get<std::string>();
    } else {
      EXPECT_EQ(event["index"], 1);
      text += delta["text"].get<std::string>();
    }
  }
  EXPECT_EQ(types,
            (std::vector<std::string>{"message_start", "content_block_start", "content_block_delta",
                                      "content_block_stop", "content_block_start", "content_block_delta",
                                      "content_block_stop", "message_delta", "message_stop"}));
  EXPECT_EQ(thought, FakeService::thought());
  EXPECT_FALSE(text.empty());
  EXPECT_THAT(reply.body, HasSubstr("event: message_start\ndata: "));
}

TEST(AnthropicMessages, CallsAreBlocksOfTheirOwn) {
  Harness harness;
  const std::string body = R"({"model": "m", "max_tokens": 9, "tools": [{"name": "get",
      "input_schema": {"type": "object"}}], "tool_choice": {"type": "any"},
      "messages": [{"role": "user", "content": "hello"}])";
  const Json whole = harness.post("/v1/messages", body + "}").json();
  EXPECT_EQ(whole["stop_reason"], "tool_use");
  const Json& block = whole["content"][0];
  EXPECT_EQ(block["type"], "tool_use");
  EXPECT_EQ(block["name"], "get");
  EXPECT_EQ(block["input"], Json({{"x", 1}}));
  EXPECT_THAT(block["id"].get<std::string>(), StartsWith("toolu_"));
  std::string input;
  for (const Json& event : sse_events(harness.post("/v1/messages", body + R"(, "stream": true})"))) {
    if (event["type"] == "content_block_delta") input += event["delta"]["partial_json"].get<std::string>();
  }
  EXPECT_EQ(Json::parse(input), Json({{"x", 1}}));
}

TEST(AnthropicMessages, SaysWhichStringStoppedIt) {
  Harness harness;
  const Json body = harness
                        .post("/v1/messages", R"({"model": "m", "max_tokens": 9,
      "stop_sequences": [" brown"], "messages": [{"role": "user", "content": "hello"}]})")
                        .json();
  EXPECT_EQ(body["stop_reason"], "stop_sequence");
  EXPECT_EQ(body["stop_sequence"], " brown");
}

TEST(AnthropicMessages, CountsTokens) {
  Harness harness;
  const Json body = harness
                        .post("/v1/messages/count_tokens",
                              R"({"model": "m", "messages": [{"role": "user", "content": "hello"}]})")
                        .json();
  harness.post("/v1/messages", R"({"model": "m", "max_tokens": 1,
      "messages": [{"role": "user", "content": "hello"}]})");
  EXPECT_EQ(body["input_tokens"], harness.service.submitted().at(0).prompt.size());
}

TEST(AnthropicMessages, ErrorsAreAnthropics) {
  Harness harness;
  const auto refused = harness.post("/v1/messages", R"({"model": "m"})");
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["type"], "error");
  EXPECT_EQ(refused.json()["error"]["type"], "invalid_request_error");
  EXPECT_THAT(refused.json()["error"]["message"].get<std::string>(), HasSubstr("max_tokens"));
  harness.service.fail_with("the engine broke");
  const std::string body =
      R"({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}])";
  const auto failed = harness.post("/v1/messages", body + "}");
  EXPECT_EQ(failed.status, 500);
  EXPECT_EQ(failed.json()["error"]["type"], "api_error");
  const auto streamed = sse_events(harness.post("/v1/messages", body + R"(, "stream": true})"));
  EXPECT_EQ(streamed.back()["error"]["message"], "the engine broke");
}

}  // namespace
}  // namespace tandem::ipc
