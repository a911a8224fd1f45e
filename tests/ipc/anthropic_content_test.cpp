#include "ipc/anthropic_content.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/service.h"

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Parts = std::vector<std::string>;

std::vector<ChatMessage> messages(const std::string& text) {
  const Json json = Json::parse(text);
  return read_anthropic_messages(nullptr, &json);
}

std::string content_refusal(const std::string& text) {
  try {
    messages(text);
  } catch (const RequestError& error) {
    return error.what();
  }
  return "taken";
}

TEST(AnthropicContent, TheSystemSpeaksFirst) {
  const Json system = Json::parse(R"([{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
                                      {"type": "text", "text": "b"}])");
  const Json said = Json::parse(R"([{"role": "user", "content": "hi"}])");
  const auto read = read_anthropic_messages(&system, &said);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].role, ChatRole::system);
  EXPECT_THAT(std::get<Parts>(read[0].content), ElementsAre("a", "b"));
}

TEST(AnthropicContent, ResultsBecomeMessages) {
  const auto read = messages(R"([
      {"role": "user", "content": "weather?"},
      {"role": "assistant", "content": [{"type": "thinking", "thinking": "hm", "signature": "s"},
          {"type": "text", "text": "I look."},
          {"type": "tool_use", "id": "t1", "name": "get", "input": {"b": 1, "a": 2}},
          {"type": "tool_use", "id": "t2", "name": "get", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"},
          {"type": "tool_result", "tool_use_id": "t2", "is_error": true,
           "content": [{"type": "text", "text": "gone"}]},
          {"type": "text", "text": "and?"}]}])");
  ASSERT_EQ(read.size(), 5u);
  EXPECT_EQ(read[1].reasoning, "hm");
  EXPECT_THAT(std::get<Parts>(read[1].content), ElementsAre("I look."));
  ASSERT_EQ(read[1].calls.size(), 2u);
  EXPECT_EQ(read[1].calls[0].arguments.dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(read[2].role, ChatRole::tool);
  EXPECT_EQ(read[2].call_id, "t1");
  EXPECT_EQ(std::get<std::string>(read[2].content), "rain");
  EXPECT_THAT(std::get<Parts>(read[3].content), ElementsAre("error: gone"));
  EXPECT_EQ(read[4].role, ChatRole::user);
  EXPECT_THAT(std::get<Parts>(read[4].content), ElementsAre("and?"));
}

TEST(AnthropicContent, TheSystemMaySpeakAmongTheMessages) {
  const auto read = messages(R"([
      {"role": "user", "content": "weather?"},
      {"role": "system", "content": [{"type": "text", "text": "be brief", "cache_control": {"type": "ephemeral"}}]},
      {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "get", "input": {}}]},
      {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": "rain"}]},
      {"role": "system", "content": "it is late"}])");
  ASSERT_EQ(read.size(), 5u);
  EXPECT_EQ(read[1].role, ChatRole::system);
  EXPECT_THAT(std::get<Parts>(read[1].content), ElementsAre("be brief"));
  EXPECT_EQ(read[3].role, ChatRole::tool);
  EXPECT_EQ(read[4].role, ChatRole::system);
  EXPECT_EQ(std::get<std::string>(read[4].content), "it is late");
}

TEST(AnthropicContent, FoundToolsAreNamedInTheResult) {
  const auto read = messages(R"([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1",
      "content": [{"type": "tool_reference", "tool_name": "get"}, {"type": "tool_reference", "tool_name": "put"}]}]}])");
  ASSERT_EQ(read.size(), 1u);
  EXPECT_THAT(std::get<Parts>(read[0].content), ElementsAre("tool: get\n", "tool: put\n"));
  EXPECT_THAT(content_refusal(R"([{"role": "user", "content": [{"type": "tool_reference"}]}])"),
              HasSubstr("of type 'tool_reference'"));
}

TEST(AnthropicContent, RefusesByPlaceAndType) {
  EXPECT_THAT(
      content_refusal(R"([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}])"),
      HasSubstr("'messages[0].content[1]' is of type 'image'"));
  EXPECT_THAT(content_refusal(R"([{"role": "tool", "content": "a"}])"), HasSubstr("messages[0].role"));
  EXPECT_THAT(content_refusal(R"([{"role": "system", "content": [{"type": "tool_use"}]}])"),
              HasSubstr("'messages[0].content[0]' is of type 'tool_use'"));
  EXPECT_THAT(content_refusal(R"([{"role": "user", "content": []}])"), HasSubstr("messages[0].content"));
  EXPECT_THAT(content_refusal(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])"),
              HasSubstr("cannot be continued"));
  EXPECT_THAT(content_refusal("[]"), HasSubstr("messages"));
}

TEST(AnthropicContent, ReadsToolsAndTheirChoice) {
  const Json tools = Json::parse(R"([{"name": "get", "description": "d", "input_schema": {"type": "object"},
                                      "cache_control": null}])");
  ChatRequest chat;
  chat.tools = read_anthropic_tools(&tools);
  ASSERT_EQ(chat.tools.size(), 1u);
  EXPECT_EQ(chat.tools[0].parameters, Json::parse(R"({"type": "object"})"));
  const Json any = Json::parse(R"({"type": "any", "disable_parallel_tool_use": true})");
  read_anthropic_tool_choice(&any, chat);
  EXPECT_EQ(chat.tool_choice.mode, ToolChoice::Mode::required);
  EXPECT_FALSE(chat.parallel_calls);
  const Json named = Json::parse(R"({"type": "tool", "name": "get"})");
  read_anthropic_tool_choice(&named, chat);
  EXPECT_EQ(chat.tool_choice.name, "get");
  const Json unknown = Json::parse(R"({"type": "tool", "name": "put"})");
  EXPECT_THROW(read_anthropic_tool_choice(&unknown, chat), RequestError);
  const Json found_later = Json::parse(R"([{"name": "get", "input_schema": {"type": "object"},
      "defer_loading": true, "allowed_callers": ["direct", "code_execution_20260120"], "input_examples": [{}]}])");
  EXPECT_EQ(read_anthropic_tools(&found_later).size(), 1u);
  const Json for_code = Json::parse(R"([{"name": "get", "input_schema": {"type": "object"},
      "allowed_callers": ["code_execution_20260120"]}])");
  EXPECT_THROW(read_anthropic_tools(&for_code), RequestError);
  const Json server_tool = Json::parse(R"([{"type": "web_search_20250305", "name": "web_search"}])");
  EXPECT_THROW(read_anthropic_tools(&server_tool), RequestError);
}

}  // namespace
}  // namespace tandem::ipc
