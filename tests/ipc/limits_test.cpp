#include "ipc/limits.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::Harness;

TEST(Limits, CallDepthLeavesRoomForTheBodyAround) {
  Limits limits;
  EXPECT_EQ(call_depth(limits), 58u);
  limits.json_depth = 6;
  EXPECT_EQ(call_depth(limits), 0u);
  limits.json_depth = 2;
  EXPECT_EQ(call_depth(limits), 0u);
}

/// {"a":[[...]]}, nested `depth` deep.
std::string arguments(std::size_t depth) {
  return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
}

std::string openai(const std::string& call) {
  return R"({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "tool_calls": [
      {"id": "c", "type": "function", "function": {"name": "f", "arguments": )" +
         Json(call).dump() + R"(}}]}, {"role": "tool", "tool_call_id": "c", "content": "b"}]})";
}

std::string responses(const std::string& call) {
  return R"({"input": [{"role": "user", "content": "a"},
      {"type": "function_call", "call_id": "c", "name": "f", "arguments": )" +
         Json(call).dump() + R"(}, {"type": "function_call_output", "call_id": "c", "output": "b"}]})";
}

std::string anthropic(const std::string& call) {
  return R"({"model": "m", "max_tokens": 2, "messages": [{"role": "user", "content": "a"},
      {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": )" +
         call + R"(}]}, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c"}]}]})";
}

std::string ollama(const std::string& call) {
  return R"({"model": "m", "messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "",
      "tool_calls": [{"function": {"name": "f", "arguments": )" +
         call + R"(}}]}, {"role": "tool", "content": "b"}]})";
}

/// `count` tools, each `before` name `after`.
std::string tools(int count, const std::string& before, const std::string& after) {
  std::string list;
  for (int i = 0; i < count; ++i)
    list += (i == 0 ? "" : ",") + before + "\"f" + std::to_string(i) + "\"" + after;
  return "\"tools\": [" + list + "]";
}

/// Names are compared with each other, which a long list would hold up everybody for.
TEST(Limits, NoDialectTakesMoreToolsThanItCanCompare) {
  testing::FakeOptions options;
  options.answer_tok = 2;
  Harness harness({}, options);
  const std::string ask = R"(, "messages": [{"role": "user", "content": "a"}]})";
  for (const auto& [count, status] : {std::pair(1024, 200), std::pair(1025, 400), std::pair(60'000, 400)}) {
    const auto openai_tools = tools(count, R"({"type": "function", "function": {"name": )", "}}");
    const auto anthropic_tools = tools(count, R"({"input_schema": {"type": "object"}, "name": )", "}");
    const auto response_tools = tools(count, R"({"type": "function", "name": )", "}");
    EXPECT_EQ(harness.post("/v1/chat/completions", "{" + openai_tools + ask).status, status);
    EXPECT_EQ(harness.post("/api/chat", "{\"model\": \"m\", " + openai_tools + ask).status, status);
    EXPECT_EQ(
        harness.post("/v1/messages", "{\"model\": \"m\", \"max_tokens\": 2, " + anthropic_tools + ask).status,
        status);
    EXPECT_EQ(harness.post("/v1/responses", "{" + response_tools + ", \"input\": \"a\"}").status, status);
  }
}

TEST(Limits, EveryDialectTakesACallOfThisDepthBack) {
  Limits limits;
  limits.json_depth = 12;
  testing::FakeOptions options;
  options.answer_tok = 2;
  Harness harness(limits, options);
  const std::string fits = arguments(call_depth(limits));
  EXPECT_EQ(harness.post("/v1/chat/completions", openai(fits)).status, 200);
  EXPECT_EQ(harness.post("/v1/responses", responses(fits)).status, 200);
  EXPECT_EQ(harness.post("/v1/messages", anthropic(fits)).status, 200);
  EXPECT_EQ(harness.post("/api/chat", ollama(fits)).status, 200);
  const auto refused = harness.post("/api/chat", ollama(arguments(call_depth(limits) + 1)));
  EXPECT_EQ(refused.status, 400);
  EXPECT_THAT(refused.body, ::testing::HasSubstr("json_depth"));
}

}  // namespace
}  // namespace tandem::ipc
