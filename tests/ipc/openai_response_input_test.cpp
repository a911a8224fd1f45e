#include "ipc/openai_response_input.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/service.h"

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Parts = std::vector<std::string>;

std::vector<ChatMessage> input(const std::string& text) {
  const Json json = Json::parse(text);
  return read_response_input(nullptr, &json, 64);
}

std::string input_refusal(const std::string& text) {
  try {
    input(text);
  } catch (const RequestError& error) {
    return error.what();
  }
  return "taken";
}

TEST(ResponseInput, ATextIsAUsersMessage) {
  const Json instructions = "be brief";
  const Json text = "hello";
  const auto read = read_response_input(&instructions, &text, 64);
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].role, ChatRole::system);
  EXPECT_EQ(read[1].role, ChatRole::user);
  EXPECT_EQ(std::get<std::string>(read[1].content), "hello");
}

TEST(ResponseInput, AnAssistantsItemsAreOneMessage) {
  const auto read = input(R"([
      {"role": "developer", "content": "d"},
      {"role": "user", "content": [{"type": "input_text", "text": "weather?",
       "prompt_cache_breakpoint": {"mode": "explicit"}}]},
      {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
      {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
       "content": [{"type": "output_text", "text": "I look.", "annotations": [], "logprobs": []}]},
      {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "get", "arguments": "{\"b\":1}"},
      {"type": "function_call", "call_id": "c2", "name": "get", "arguments": ""},
      {"type": "function_call_output", "call_id": "c1", "output": "rain"},
      {"type": "function_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "sun"}]}])");
  ASSERT_EQ(read.size(), 5u);
  EXPECT_EQ(read[0].role, ChatRole::developer);
  EXPECT_EQ(read[2].reasoning, "hm");
  EXPECT_THAT(std::get<Parts>(read[2].content), ElementsAre("I look."));
  ASSERT_EQ(read[2].calls.size(), 2u);
  EXPECT_EQ(read[2].calls[0].id, "c1");
  EXPECT_EQ(read[2].calls[0].arguments.dump(), R"({"b":1})");
  EXPECT_EQ(read[3].call_id, "c1");
  EXPECT_THAT(std::get<Parts>(read[4].content), ElementsAre("sun"));
}

TEST(ResponseInput, TurnsOfTheAssistantStayApart) {
  const auto read = input(R"([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
      {"role": "assistant", "content": "c"}, {"type": "reasoning", "summary": [{"type": "summary_text",
      "text": "s"}]}, {"role": "assistant", "content": "d"}])");
  ASSERT_EQ(read.size(), 4u);
  EXPECT_EQ(read[3].reasoning, "s");
  EXPECT_EQ(std::get<std::string>(read[3].content), "d");
}

TEST(ResponseInput, RefusesByPlace) {
  EXPECT_THAT(input_refusal(R"([{"type": "item_reference", "id": "x"}])"),
              HasSubstr("'input[0]' refers to an item"));
  EXPECT_THAT(input_refusal(R"([{"role": "user", "content": [{"type": "input_image"}]}])"),
              HasSubstr("only text"));
  EXPECT_THAT(input_refusal(R"([{"role": "robot", "content": "x"}])"), HasSubstr("input[0].role"));
  EXPECT_THAT(input_refusal(R"([{"role": "user", "content": "x", "colour": 1}])"),
              HasSubstr("input[0].colour"));
  EXPECT_THAT(input_refusal(R"([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}])"),
              HasSubstr("input[0].arguments"));
  EXPECT_THAT(input_refusal("[]"), HasSubstr("input"));
}

TEST(ResponseInput, FunctionsOfNamespacesHaveOneName) {
  const auto read = input(R"([
      {"type": "function_call", "call_id": "c1", "namespace": "mcp__files__", "name": "read", "arguments": "{}",
       "caller": null},
      {"type": "function_call_output", "call_id": "c1", "output": "x", "namespace": "files", "name": "read"}])");
  ASSERT_EQ(read.size(), 2u);
  EXPECT_EQ(read[0].calls[0].name, "mcp__files__read");
  EXPECT_EQ(read[1].tool_name, "files__read");
}

}  // namespace
}  // namespace tandem::ipc
