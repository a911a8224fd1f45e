#include "ipc/openai_responses.h"

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

TEST(OpenaiResponses, AnswersWhole) {
  Harness harness;
  const Json body = harness
                        .post("/v1/responses", R"({"model": "m", "input": "hello", "max_output_tokens": 3,
      "metadata": {"a": "b"}})")
                        .json();
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("resp_"));
  EXPECT_EQ(body["object"], "response");
  EXPECT_EQ(body["status"], "incomplete");
  EXPECT_EQ(body["incomplete_details"]["reason"], "max_output_tokens");
  EXPECT_EQ(body["output"][0]["content"][0]["text"], FakeService::answer(3));
  EXPECT_EQ(body["usage"]["output_tokens"], 3);
  EXPECT_EQ(body["metadata"]["a"], "b");
  EXPECT_EQ(body["store"], false);
  EXPECT_EQ(body["max_output_tokens"], 3);
  EXPECT_EQ(body["tool_choice"], "auto");
}

TEST(OpenaiResponses, StreamsNumberedEvents) {
  Harness harness;
  const auto list =
      sse_events(harness.post("/v1/responses", R"({"model": "m", "input": "hello", "stream": true,
      "reasoning": {"effort": "low"}, "max_output_tokens": 6})"));
  std::vector<std::string> types;
  std::string text;
  std::string thought;
  for (std::size_t i = 0; i < list.size(); ++i) {
    EXPECT_EQ(list[i]["sequence_number"], i);
    const auto type = list[i]["type"].get<std::string>();
    if (types.empty() || types.back() != type) types.push_back(type);
    if (type == "response.output_text.delta") text += list[i]["delta"].get<std::string>();
    if (type == "response.reasoning_text.delta") thought += list[i]["delta"].get<std::string>();
  }
  EXPECT_EQ(
      types,
      (std::vector<std::string>{
          "response.created", "response.in_progress", "response.output_item.added",
          "response.content_part.added", "response.reasoning_text.delta", "response.reasoning_text.done",
          "response.content_part.done", "response.output_item.done", "response.output_item.added",
          "response.content_part.added", "response.output_text.delta", "response.output_text.done",
          "response.content_part.done", "response.output_item.done", "response.incomplete"}));
  EXPECT_EQ(thought, FakeService::thought());
  const Json& output = list.back()["response"]["output"];
  ASSERT_EQ(output.size(), 2u);
  EXPECT_EQ(output[0]["content"][0]["text"], thought);
  EXPECT_EQ(output[1]["content"][0]["text"], text);
  EXPECT_EQ(list.back()["response"]["usage"]["output_tokens_details"]["reasoning_tokens"], 2);
}

TEST(OpenaiResponses, CallsAreItems) {
  Harness harness;
  const std::string body = R"({"model": "m", "input": "hello", "tool_choice": "required", "tools":
      [{"type": "function", "name": "get", "parameters": {"type": "object"}}])";
  const Json whole = harness.post("/v1/responses", body + "}").json();
  EXPECT_EQ(whole["status"], "completed");
  EXPECT_EQ(whole["output"][0]["type"], "function_call");
  EXPECT_EQ(whole["output"][0]["arguments"], R"({"x":1})");
  const auto list = sse_events(harness.post("/v1/responses", body + R"(, "stream": true})"));
  EXPECT_EQ(list.back()["type"], "response.completed");
  EXPECT_EQ(list.back()["response"]["output"][0]["name"], "get");
}

/// As OpenAI's agent for the command line asks.
TEST(OpenaiResponses, CallsOfNamespacesBearThem) {
  Harness harness;
  const std::string body = R"({"model": "m", "input": "hello", "tool_choice": "required", "store": false,
      "reasoning": {"effort": "max", "summary": "auto"}, "include": ["reasoning.encrypted_content"],
      "prompt_cache_key": "k", "client_metadata": {"installation": "i"}, "tools": [{"type": "web_search"},
      {"type": "namespace", "name": "mcp__files__", "description": "d", "tools": [
          {"type": "function", "name": "read", "strict": false, "parameters": {"type": "object"}}]}])";
  const Json whole = harness.post("/v1/responses", body + "}").json();
  ASSERT_EQ(whole["tools"].size(), 1u);
  EXPECT_EQ(whole["tools"][0]["type"], "namespace");
  Json call = whole["output"].back();
  EXPECT_EQ(call["name"], "read");
  EXPECT_EQ(call["namespace"], "mcp__files__");
  const auto list = sse_events(harness.post("/v1/responses", body + R"(, "stream": true})"));
  call = list.back()["response"]["output"].back();
  EXPECT_EQ(call["name"], "read");
  EXPECT_EQ(call["namespace"], "mcp__files__");
  for (const Json& event : list) {
    if (event["type"] != "response.function_call_arguments.done") continue;
    EXPECT_EQ(event["name"], "read");
  }
}

TEST(OpenaiResponses, KeepsNothing) {
  Harness harness;
  for (const char* member : {R"("previous_response_id": "resp_1")", R"("conversation": "conv_1")",
                             R"("background": true)", R"("truncation": "auto")", R"("colour": 1)"}) {
    const auto reply =
        harness.post("/v1/responses", R"({"model": "m", "input": "x", )" + std::string(member) + "}");
    EXPECT_EQ(reply.status, 400) << member;
  }
  const auto reply =
      harness.post("/v1/responses", R"({"model": "m", "input": "x", "previous_response_id": "r"})");
  EXPECT_THAT(reply.error_message(), HasSubstr("nothing is kept"));
}

TEST(OpenaiResponses, AFailureIsTheLastEvent) {
  Harness harness;
  harness.service.fail_with("the engine broke");
  const auto list =
      sse_events(harness.post("/v1/responses", R"({"model": "m", "input": "x", "stream": true})"));
  EXPECT_EQ(list.back()["type"], "response.failed");
  EXPECT_EQ(list.back()["response"]["error"]["message"], "the engine broke");
}

}  // namespace
}  // namespace tandem::ipc
