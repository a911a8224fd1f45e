#include "ipc/ollama_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

ModelCard card() {
  ModelCard card;
  card.vocab = 512;
  card.context_tok = 4096;
  card.chat = "gemma4";
  card.tools = true;
  card.thinking = true;
  return card;
}

OllamaChatRequest chat(const std::string& members) {
  return read_ollama_chat_request(Json::parse(R"({"model": "m", )" + members + "}"), {}, card());
}

OllamaGenerateRequest generate(const std::string& members) {
  return read_ollama_generate_request(Json::parse(R"({"model": "m", )" + members + "}"), {}, card());
}

/// What is said of the field at fault.
template <typename Read>
std::string ollama_refusal(Read read, const std::string& members) {
  try {
    read(members);
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    return error.what();
  }
  return "taken";
}

TEST(OllamaRequest, StreamsAndHasNoLimitUnlessToldOtherwise) {
  const auto request = chat(R"("messages": [{"role": "user", "content": "hi"}])");
  EXPECT_TRUE(request.stream);
  EXPECT_EQ(request.settings.max_tokens, static_cast<std::uint32_t>(INT32_MAX));
  EXPECT_EQ(request.settings.temperature, std::nullopt);
  EXPECT_EQ(request.settings.repetition_penalty, std::nullopt);
  EXPECT_EQ(request.chat.thinking, Thinking::model_default);
  EXPECT_EQ(request.chat.format.kind, AnswerFormat::Kind::free);
}

TEST(OllamaRequest, ReadsOptions) {
  const auto request = generate(R"("prompt": "x", "stream": false, "options": {"num_predict": 7,
      "temperature": 0.5, "top_k": 3, "top_p": 0.25, "min_p": 0.125, "seed": 9, "repeat_penalty": 1.5,
      "presence_penalty": 1, "frequency_penalty": -1, "stop": ["a", "b"], "num_ctx": 4096, "num_gpu": 99,
      "mirostat": 0, "tfs_z": 1.0, "penalize_newline": true})");
  const GenerationRequest& settings = request.settings;
  EXPECT_FALSE(request.stream);
  EXPECT_EQ(settings.max_tokens, 7u);
  EXPECT_EQ(settings.temperature, 0.5f);
  EXPECT_EQ(settings.top_k, 3u);
  EXPECT_EQ(settings.top_p, 0.25f);
  EXPECT_EQ(settings.min_p, 0.125f);
  EXPECT_EQ(settings.seed, 9u);
  EXPECT_EQ(settings.repetition_penalty, 1.5f);
  EXPECT_EQ(settings.presence_penalty, 1.0f);
  EXPECT_EQ(settings.frequency_penalty, -1.0f);
  EXPECT_THAT(settings.stop, ElementsAre("a", "b"));
}

TEST(OllamaRequest, AWindowOfNoTokensSwitchesPenaltiesOff) {
  const auto request = generate(R"("prompt": "x", "options": {"repeat_penalty": 1.5, "repeat_last_n": 0})");
  EXPECT_EQ(request.settings.repetition_penalty, 1.0f);
}

TEST(OllamaRequest, RefusesWhatItWouldOtherwiseChange) {
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "options": {"num_ctx": 4097})"),
              HasSubstr("the daemon runs with 4096"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "options": {"mirostat": 2})"),
              HasSubstr("options.mirostat"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "options": {"typical_p": 0.5})"),
              HasSubstr("typical_p"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "options": {"tempratur": 1})"),
              HasSubstr("tempratur"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "template": "{{ .Prompt }}")"),
              HasSubstr("template"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "suffix": "y")"), HasSubstr("suffix"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "context": [1, 2])"), HasSubstr("context"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "images": ["aGk="])"), HasSubstr("only text"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "raw": true, "system": "y")"), HasSubstr("system"));
  EXPECT_THAT(ollama_refusal(chat, R"("messages": [], "colour": 1)"), HasSubstr("colour"));
  EXPECT_THAT(ollama_refusal(chat, R"("messages": [{"role": "user", "content": "a", "images": ["aGk="]}])"),
              HasSubstr("messages[0].images"));
  EXPECT_THAT(ollama_refusal(chat, R"("messages": [{"role": "user", "content": "a", "thinking": "b"}])"),
              HasSubstr("messages[0].thinking"));
}

TEST(OllamaRequest, TakesEmptyMembersOfOtherRoles) {
  const auto request = chat(R"("messages": [{"role": "user", "content": "a", "thinking": "", "images": [],
      "tool_calls": [], "tool_name": ""}])");
  EXPECT_EQ(std::get<std::string>(request.chat.messages.at(0).content), "a");
}

TEST(OllamaRequest, ReadsCallsAndTheirResults) {
  const auto request = chat(R"("messages": [
      {"role": "user", "content": "weather?"},
      {"role": "assistant", "content": "", "thinking": "hm",
       "tool_calls": [{"id": "c1", "function": {"index": 0, "name": "get", "arguments": {"b": 1, "a": 2}}}]},
      {"role": "tool", "content": "rain", "tool_name": "get", "tool_call_id": "c1"}],
      "tools": [{"type": "function", "function": {"name": "get", "description": "d",
                 "parameters": {"type": "object", "properties": {}}}}])");
  ASSERT_EQ(request.chat.messages.size(), 3u);
  const ChatMessage& turn = request.chat.messages[1];
  EXPECT_EQ(turn.reasoning, "hm");
  ASSERT_EQ(turn.calls.size(), 1u);
  EXPECT_EQ(turn.calls[0].id, "c1");
  EXPECT_EQ(turn.calls[0].arguments.dump(), R"({"b":1,"a":2})");
  EXPECT_EQ(request.chat.messages[2].role, ChatRole::tool);
  EXPECT_EQ(request.chat.messages[2].tool_name, "get");
  EXPECT_EQ(request.chat.messages[2].call_id, "c1");
  ASSERT_EQ(request.chat.tools.size(), 1u);
  EXPECT_EQ(request.chat.tools[0].name, "get");
}

TEST(OllamaRequest, ReadsFormats) {
  EXPECT_EQ(generate(R"("prompt": "x", "format": "")").format.kind, AnswerFormat::Kind::free);
  EXPECT_EQ(generate(R"("prompt": "x", "format": "json")").format.kind, AnswerFormat::Kind::json_object);
  const auto format = generate(R"("prompt": "x", "format": {"type": "integer"})").format;
  EXPECT_EQ(format.kind, AnswerFormat::Kind::json_schema);
  EXPECT_EQ(format.schema, Json::parse(R"({"type": "integer"})"));
  EXPECT_THAT(ollama_refusal(generate, R"("prompt": "x", "format": "yaml")"), HasSubstr("format"));
}

TEST(OllamaRequest, ThinksAsToldWhereTheModelCan) {
  EXPECT_EQ(generate(R"("prompt": "x", "think": true)").thinking, Thinking::on);
  EXPECT_EQ(generate(R"("prompt": "x", "think": "high")").thinking, Thinking::on);
  EXPECT_EQ(generate(R"("prompt": "x", "think": false)").thinking, Thinking::off);
  ModelCard plain = card();
  plain.thinking = false;
  const auto body = [](const char* think) {
    return Json::parse(R"({"model": "m", "prompt": "x", "think": )" + std::string(think) + "}");
  };
  EXPECT_THROW(read_ollama_generate_request(body("true"), {}, plain), RequestError);
  EXPECT_EQ(read_ollama_generate_request(body("false"), {}, plain).thinking, Thinking::off);
}

}  // namespace
}  // namespace tandem::ipc
