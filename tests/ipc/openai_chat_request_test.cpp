#include "ipc/openai_chat_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/fake_service.h"

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kHelloChat = R"("messages": [{"role": "user", "content": "hello"}])";
constexpr const char* kTool =
    R"("tools": [{"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}])";

ModelCard chat_card() {
  testing::FakeService service;
  return service.model();
}

OpenaiChatRequest read_chat(const std::string& body, const ModelCard& model = chat_card()) {
  Limits limits;
  limits.stop_strings = 2;
  return read_openai_chat_request(Json::parse(body), limits, model);
}

OpenaiChatRequest with(const std::string& fields, const ModelCard& model = chat_card()) {
  return read_chat("{" + std::string(kHelloChat) + (fields.empty() ? "" : ", ") + fields + "}", model);
}

TEST(OpenaiChatRequest, DefaultsAreTheApis) {
  const auto request = with("");
  EXPECT_EQ(request.n, 1u);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.include_usage);
  EXPECT_EQ(request.settings.max_tokens, INT32_MAX);
  EXPECT_EQ(request.settings.temperature, std::nullopt);
  EXPECT_EQ(request.settings.logprobs, std::nullopt);
  EXPECT_EQ(request.chat.thinking, Thinking::model_default);
  EXPECT_EQ(request.chat.format.kind, AnswerFormat::Kind::free);
  EXPECT_EQ(request.chat.tool_choice.mode, ToolChoice::Mode::automatic);
  EXPECT_TRUE(request.chat.parallel_calls);
  EXPECT_TRUE(request.chat.tools.empty());
  ASSERT_EQ(request.chat.messages.size(), 1u);
  EXPECT_EQ(request.chat.messages[0].role, ChatRole::user);
  EXPECT_EQ(std::get<std::string>(request.chat.messages[0].content), "hello");
}

TEST(OpenaiChatRequest, ReadsEveryField) {
  const auto request = with(R"("model": "any", "stream": true, "stream_options": {"include_usage": true},
      "max_completion_tokens": 7, "max_tokens": 7, "temperature": 0.5, "top_p": 0.25, "top_k": 3, "min_p": 0.125,
      "repetition_penalty": 1.5, "presence_penalty": 1, "frequency_penalty": -1, "seed": 9, "stop": ["a", "b"],
      "logprobs": true, "top_logprobs": 4, "logit_bias": {"3": 1}, "n": 2, "parallel_tool_calls": false,
      "reasoning_effort": "low", "chat_template_kwargs": {"enable_thinking": true}, "return_tokens_as_token_ids": true,
      "response_format": {"type": "json_object"}, "tool_choice": "none", "user": "u", "safety_identifier": "s",
      "prompt_cache_key": "k", "service_tier": "auto", "verbosity": "low", "store": false, "metadata": {"a": "b"},
      "prediction": null, "modalities": ["text"], "functions": null, "audio": null)");
  const GenerationRequest& settings = request.settings;
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_EQ(request.n, 2u);
  EXPECT_EQ(request.names, TokenNames::ids);
  EXPECT_EQ(settings.max_tokens, 7u);
  EXPECT_EQ(settings.temperature, 0.5f);
  EXPECT_EQ(settings.top_p, 0.25f);
  EXPECT_EQ(settings.top_k, 3u);
  EXPECT_EQ(settings.min_p, 0.125f);
  EXPECT_EQ(settings.repetition_penalty, 1.5f);
  EXPECT_EQ(settings.presence_penalty, 1.0f);
  EXPECT_EQ(settings.frequency_penalty, -1.0f);
  EXPECT_EQ(settings.seed, 9u);
  EXPECT_THAT(settings.stop, ElementsAre("a", "b"));
  EXPECT_EQ(settings.logprobs, 4u);
  ASSERT_EQ(settings.logit_bias.size(), 1u);
  EXPECT_EQ(settings.logit_bias[0].token, 3);
  EXPECT_EQ(request.chat.thinking, Thinking::on);
  EXPECT_EQ(request.chat.format.kind, AnswerFormat::Kind::json_object);
  EXPECT_EQ(request.chat.tool_choice.mode, ToolChoice::Mode::none);
  EXPECT_FALSE(request.chat.parallel_calls);
}

TEST(OpenaiChatRequest, TheOldNameOfTheLengthWillDo) {
  EXPECT_EQ(with(R"("max_tokens": 5)").settings.max_tokens, 5u);
}

TEST(OpenaiChatRequest, LogprobsNeedNoAlternatives) {
  EXPECT_EQ(with(R"("logprobs": true)").settings.logprobs, 0u);
  EXPECT_EQ(with(R"("logprobs": false)").settings.logprobs, std::nullopt);
}

TEST(OpenaiChatRequest, ThinkingHasTwoSwitches) {
  EXPECT_EQ(with(R"("reasoning_effort": "none")").chat.thinking, Thinking::off);
  EXPECT_EQ(with(R"("reasoning_effort": "high")").chat.thinking, Thinking::on);
  EXPECT_EQ(with(R"("chat_template_kwargs": {"enable_thinking": false})").chat.thinking, Thinking::off);
  EXPECT_EQ(with(R"("chat_template_kwargs": {"enable_thinking": true})").chat.thinking, Thinking::on);
  EXPECT_EQ(with(R"("chat_template_kwargs": {})").chat.thinking, Thinking::model_default);
}

TEST(OpenaiChatRequest, AModelWithoutThoughtsMayBeToldNotToThink) {
  ModelCard plain = chat_card();
  plain.chat = "gemma3";
  plain.thinking = false;
  EXPECT_EQ(with(R"("reasoning_effort": "none")", plain).chat.thinking, Thinking::off);
  try {
    with(R"("reasoning_effort": "low")", plain);
    FAIL();
  } catch (const RequestError& error) {
    EXPECT_EQ(error.param(), "reasoning_effort");
    EXPECT_THAT(error.what(), HasSubstr("no place for"));
  }
}

TEST(OpenaiChatRequest, FormatsComeInThreeWays) {
  const auto schema =
      with(R"("response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true,
      "schema": {"properties": {"z": {}, "a": {}}}}})")
          .chat.format;
  EXPECT_EQ(schema.kind, AnswerFormat::Kind::json_schema);
  EXPECT_EQ(schema.schema.dump(), R"({"properties":{"z":{},"a":{}}})");
  EXPECT_EQ(schema.field, "response_format");
  const auto grammar = with(R"("grammar": "root ::= [a]")").chat.format;
  EXPECT_EQ(grammar.kind, AnswerFormat::Kind::gbnf);
  EXPECT_EQ(grammar.field, "grammar");
  EXPECT_EQ(with(R"("json_schema": {}, "response_format": {"type": "text"})").chat.format.field,
            "json_schema");
}

TEST(OpenaiChatRequest, ReadsToolsAndTheChoiceOfOne) {
  const auto chat = with(R"("tools": [{"type": "function", "function": {"name": "get_weather", "strict": true,
      "description": "The weather.", "parameters": {"type": "object", "properties": {"z": {}, "a": {}}}}},
      {"type": "function", "function": {"name": "now"}}],
      "tool_choice": {"type": "function", "function": {"name": "now"}})")
                        .chat;
  ASSERT_EQ(chat.tools.size(), 2u);
  EXPECT_EQ(chat.tools[0].name, "get_weather");
  EXPECT_EQ(chat.tools[0].description, "The weather.");
  EXPECT_TRUE(chat.tools[0].strict);
  EXPECT_EQ(chat.tools[0].parameters.dump(), R"({"type":"object","properties":{"z":{},"a":{}}})");
  EXPECT_TRUE(chat.tools[1].parameters.is_null());
  EXPECT_FALSE(chat.tools[1].strict);
  EXPECT_EQ(chat.tool_choice.mode, ToolChoice::Mode::named);
  EXPECT_EQ(chat.tool_choice.name, "now");
  EXPECT_EQ(with(std::string(kTool) + R"(, "tool_choice": "required")").chat.tool_choice.mode,
            ToolChoice::Mode::required);
}

TEST(OpenaiChatRequest, ReadsAConversationAsClientsKeepIt) {
  const auto messages = read_chat(R"({"messages": [
      {"role": "system", "content": "Be brief.", "name": "boss"},
      {"role": "developer", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
      {"role": "user", "content": [{"type": "text", "text": "weather?"}]},
      {"role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null, "function_call": null,
       "reasoning_content": "Hm.", "tool_calls": [{"id": "call_1", "type": "function", "index": 0,
       "function": {"name": "get_weather", "arguments": "{\"z\": 1, \"a\": [2]}"}},
       {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}]},
      {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
      {"role": "tool", "name": "now", "content": [{"type": "text", "text": "noon"}]},
      {"role": "assistant", "content": "It is sunny.", "reasoning": "Well."}]})")
                            .chat.messages;
  ASSERT_EQ(messages.size(), 7u);
  EXPECT_EQ(messages[0].role, ChatRole::system);
  EXPECT_EQ(messages[1].role, ChatRole::developer);
  EXPECT_THAT(std::get<std::vector<std::string>>(messages[1].content), ElementsAre("a", "b"));
  EXPECT_TRUE(std::holds_alternative<std::monostate>(messages[3].content));
  EXPECT_EQ(messages[3].reasoning, "Hm.");
  ASSERT_EQ(messages[3].calls.size(), 2u);
  EXPECT_EQ(messages[3].calls[0].id, "call_1");
  EXPECT_EQ(messages[3].calls[0].name, "get_weather");
  EXPECT_EQ(messages[3].calls[0].arguments.dump(), R"({"z":1,"a":[2]})");
  EXPECT_EQ(messages[3].calls[1].arguments, Json::object());
  EXPECT_EQ(messages[4].role, ChatRole::tool);
  EXPECT_EQ(messages[4].call_id, "call_1");
  EXPECT_EQ(messages[5].tool_name, "now");
  EXPECT_EQ(messages[6].reasoning, "Well.");
}

struct ChatRefusal {
  std::string fields;
  std::string param;
  std::string message;
};

class RefusedChat : public ::testing::TestWithParam<ChatRefusal> {};

TEST_P(RefusedChat, NamesFieldAndReason) {
  const ChatRefusal& expected = GetParam();
  const bool own_messages = expected.fields.find("\"messages\"") != std::string::npos;
  try {
    read_chat("{" + (own_messages ? "" : std::string(kHelloChat) + ", ") + expected.fields + "}");
    FAIL() << "accepted: " << expected.fields;
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    EXPECT_EQ(error.param(), expected.param);
    EXPECT_THAT(error.what(), HasSubstr(expected.message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Settings, RefusedChat,
    ::testing::Values(
        ChatRefusal{R"("wat": 1)", "wat", "not a field"}, ChatRefusal{R"("n": 65)", "n", "between 1 and 64"},
        ChatRefusal{R"("max_tokens": 5, "max_completion_tokens": 6)", "max_tokens", "old name"},
        ChatRefusal{R"("logprobs": 3)", "logprobs", "true or false"},
        ChatRefusal{R"("top_logprobs": 3)", "top_logprobs", "logprobs: true"},
        ChatRefusal{R"("logprobs": true, "top_logprobs": 21)", "top_logprobs", "between 0 and 20"},
        ChatRefusal{R"("echo": true)", "echo", "not a field"},
        ChatRefusal{R"("reasoning_effort": "wild")", "reasoning_effort", "must be none"},
        ChatRefusal{R"("reasoning_effort": "none", "chat_template_kwargs": {"enable_thinking": true})",
                    "reasoning_effort", "contradict"},
        ChatRefusal{R"("chat_template_kwargs": {"x": 1})", "chat_template_kwargs.x", "not a field"},
        ChatRefusal{R"("functions": [])", "functions", "old form"},
        ChatRefusal{R"("function_call": "auto")", "function_call", "old form"},
        ChatRefusal{R"("modalities": ["text", "audio"])", "modalities", "must be"},
        ChatRefusal{R"("audio": {})", "audio", "not supported"},
        ChatRefusal{R"("web_search_options": {})", "web_search_options", "not supported"}));

INSTANTIATE_TEST_SUITE_P(
    Formats, RefusedChat,
    ::testing::Values(
        ChatRefusal{R"("response_format": "json")", "response_format", "object"},
        ChatRefusal{R"("response_format": {"type": "yaml"})", "response_format.type", "must be"},
        ChatRefusal{R"("response_format": {"type": "json_schema"})", "response_format.json_schema",
                    "required"},
        ChatRefusal{R"("response_format": {"type": "json_schema", "json_schema": {"name": "a"}})",
                    "response_format.json_schema.schema", "required"},
        ChatRefusal{R"("response_format": {"type": "json_object", "x": 1})", "response_format.x",
                    "not a field"},
        ChatRefusal{R"("response_format": {"type": "json_object"}, "grammar": "")", "grammar", "exclude"}));

INSTANTIATE_TEST_SUITE_P(
    Tools, RefusedChat,
    ::testing::Values(
        ChatRefusal{R"("tools": {})", "tools", "array"},
        ChatRefusal{R"("tools": [{"type": "web_search"}])", "tools[0].type", "only 'function'"},
        ChatRefusal{R"("tools": [{"type": "function"}])", "tools[0].function", "required"},
        ChatRefusal{R"("tools": [{"type": "function", "function": {"name": "a b"}}])",
                    "tools[0].function.name", "letters"},
        ChatRefusal{R"("tools": [{"type": "function", "function": {"name": "a", "parameters": []}}])",
                    "tools[0].function.parameters", "schema"},
        ChatRefusal{R"("tools": [{"type": "function", "function": {"name": "a", "x": 1}}])",
                    "tools[0].function.x", "not a field"},
        ChatRefusal{R"("tools": [{"type": "function", "function": {"name": "a"}},
                             {"type": "function", "function": {"name": "a"}}])",
                    "tools", "twice"},
        ChatRefusal{R"("tool_choice": "required")", "tool_choice", "no tools"},
        ChatRefusal{R"("tool_choice": "some")", "tool_choice", "must be"},
        ChatRefusal{R"("tool_choice": {"type": "allowed_tools"})", "tool_choice.type", "function"},
        ChatRefusal{R"("tool_choice": {"type": "function", "function": {"name": "f"}})",
                    "tool_choice.function.name", "not one of the tools"}));

INSTANTIATE_TEST_SUITE_P(
    Messages, RefusedChat,
    ::testing::Values(
        ChatRefusal{R"("messages": null)", "messages", "required"},
        ChatRefusal{R"("messages": [])", "messages", "array of messages"},
        ChatRefusal{R"("messages": "hi")", "messages", "array of messages"},
        ChatRefusal{R"("messages": ["hi"])", "messages[0]", "object"},
        ChatRefusal{R"("messages": [{"role": "function", "content": "x"}])", "messages[0].role",
                    "must be system"},
        ChatRefusal{R"("messages": [{"role": "user"}])", "messages[0].content", "required"},
        ChatRefusal{R"("messages": [{"role": "user", "content": 5}])", "messages[0].content",
                    "string or an array"},
        ChatRefusal{R"("messages": [{"role": "user", "content": "x", "tool_calls": []}])",
                    "messages[0].tool_calls", "not a field"},
        ChatRefusal{R"("messages": [{"role": "user", "content": [{"type": "text", "text": "x"},
                   {"type": "image_url", "image_url": {"url": "x"}}]}])",
                    "messages[0].content[1]", "of type 'image_url'; only text"},
        ChatRefusal{R"("messages": [{"role": "user", "content": [{"type": "text"}]}])",
                    "messages[0].content[0].text", "required"},
        ChatRefusal{R"("messages": [{"role": "assistant", "content": "x", "audio": {"id": "1"}}])",
                    "messages[0].audio", "not supported"},
        ChatRefusal{
            R"("messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "[1]"}}]}])",
            "messages[0].tool_calls[0].function.arguments", "JSON object"},
        ChatRefusal{R"("messages": [{"role": "assistant", "tool_calls": [{"type": "custom"}]}])",
                    "messages[0].tool_calls[0].type", "function"},
        ChatRefusal{R"("messages": [{"role": "assistant", "tool_calls": [{"function": {"name": ""}}]}])",
                    "messages[0].tool_calls[0].function.name", "function's name"}));

}  // namespace
}  // namespace tandem::ipc
