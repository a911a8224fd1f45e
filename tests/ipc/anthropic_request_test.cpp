#include "ipc/anthropic_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/anthropic_error.h"

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelCard messages_card() {
  ModelCard card;
  card.chat = "gemma4";
  card.thinking = true;
  return card;
}

AnthropicRequest read_messages(const std::string& members) {
  return read_anthropic_request(Json::parse(R"({"model": "m", "max_tokens": 9, )" + members + "}"), {},
                                messages_card());
}

constexpr const char* kHelloMessages = R"("messages": [{"role": "user", "content": "hello"}])";

std::string messages_refusal(const std::string& members) {
  try {
    read_messages(members);
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    return error.what();
  }
  return "taken";
}

std::string with_hello(const std::string& members) {
  return kHelloMessages + (", " + members);
}

TEST(AnthropicRequest, ReadsSamplingValues) {
  const auto request =
      read_messages(with_hello(R"("temperature": 0.5, "top_k": 4, "top_p": 0.5, "stream": true,
      "stop_sequences": ["a", "b"], "metadata": {"user_id": "u"}, "service_tier": "auto")"));
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.settings.max_tokens, 9u);
  EXPECT_EQ(request.settings.temperature, 0.5f);
  EXPECT_EQ(request.settings.top_k, 4u);
  EXPECT_EQ(request.settings.top_p, 0.5f);
  EXPECT_THAT(request.settings.stop, ElementsAre("a", "b"));
}

TEST(AnthropicRequest, ModelAndLengthAreRequired) {
  const auto read_all = [](const char* body) {
    read_anthropic_request(Json::parse(body), {}, messages_card());
  };
  EXPECT_THROW(read_all(R"({"max_tokens": 9, "messages": [{"role": "user", "content": "x"}]})"),
               RequestError);
  EXPECT_THROW(read_all(R"({"model": "m", "messages": [{"role": "user", "content": "x"}]})"), RequestError);
}

TEST(AnthropicRequest, ReadsThinking) {
  EXPECT_EQ(read_messages(kHelloMessages).chat.thinking, Thinking::model_default);
  EXPECT_EQ(
      read_messages(with_hello(R"("thinking": {"type": "enabled", "budget_tokens": 1024})")).chat.thinking,
      Thinking::on);
  EXPECT_EQ(read_messages(with_hello(R"("thinking": {"type": "disabled"})")).chat.thinking, Thinking::off);
  EXPECT_THAT(messages_refusal(with_hello(R"("thinking": {"type": "deeply"})")), HasSubstr("thinking.type"));
}

TEST(AnthropicRequest, ReadsTheFormat) {
  const auto format =
      read_messages(
          with_hello(
              R"("output_config": {"effort": "low", "format": {"type": "json_schema", "schema": {"type": "null"}}})"))
          .chat.format;
  EXPECT_EQ(format.kind, AnswerFormat::Kind::json_schema);
  EXPECT_EQ(format.schema, Json::parse(R"({"type": "null"})"));
}

TEST(AnthropicRequest, RefusesWhatIsNotThere) {
  EXPECT_THAT(messages_refusal(with_hello(R"("mcp_servers": [])")), HasSubstr("mcp_servers"));
  EXPECT_THAT(messages_refusal(with_hello(R"("container": "c")")), HasSubstr("container"));
  EXPECT_THAT(messages_refusal(with_hello(R"("colour": 1)")), HasSubstr("colour"));
  EXPECT_THAT(messages_refusal(with_hello(R"("temperature": 1.5)")), HasSubstr("between 0.0 and 1.0"));
}

TEST(AnthropicRequest, ThoughtsOfEarlierTurnsMayBeCleared) {
  EXPECT_EQ(messages_refusal(with_hello(
                R"("context_management": {"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
                   "diagnostics": {"previous_message_id": null}, "speed": "standard")")),
            "taken");
  EXPECT_THAT(
      messages_refusal(with_hello(
          R"("context_management": {"edits": [{"type": "clear_thinking_20251015"}, {"type": "compact"}]})")),
      HasSubstr("'context_management.edits[1]' is of type 'compact'"));
  EXPECT_THAT(messages_refusal(with_hello(R"("context_management": {"edit": []})")),
              HasSubstr("context_management.edit"));
  EXPECT_THAT(messages_refusal(with_hello(R"("speed": "fast")")), HasSubstr("speed"));
}

TEST(AnthropicRequest, AThreadIsRefusedWithTheCodeThatLibrariesKnow) {
  try {
    read_messages(with_hello(R"("thread": {"type": "create"})"));
    FAIL() << "taken";
  } catch (const RequestError& error) {
    const OrderedJson body = anthropic_error(error);
    EXPECT_EQ(body["error"]["type"], "invalid_request_error");
    EXPECT_EQ(body["error"]["details"]["error_code"], "thread_unsupported_request");
  }
}

TEST(AnthropicRequest, CountsWithoutALength) {
  const ChatRequest chat = read_anthropic_count(
      Json::parse(R"({"model": "m", "messages": [{"role": "user", "content": "x"}]})"), messages_card());
  EXPECT_EQ(chat.messages.size(), 1u);
}

}  // namespace
}  // namespace tandem::ipc
