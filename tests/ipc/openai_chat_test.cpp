#include "ipc/openai_chat.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using testing::Harness;
using testing::RawReply;
using ::testing::StartsWith;

constexpr const char* kTools = R"("tools": [{"type": "function", "function": {"name": "now"}}])";

std::string body(const std::string& fields) {
  return R"({"messages": [{"role": "user", "content": "hello"}], )" + fields + "}";
}

RawReply chat(Harness& harness, const std::string& fields) {
  return harness.post("/v1/chat/completions", body(fields));
}

/// The chunks of a streamed answer, without [DONE].
std::vector<Json> chunks_of(const RawReply& reply) {
  std::vector<Json> chunks;
  auto events = testing::sse_data(reply.body);
  EXPECT_EQ(events.back(), "[DONE]");
  events.pop_back();
  for (const std::string& data : events) chunks.push_back(Json::parse(data));
  return chunks;
}

/// The deltas of a choice put together as a client does it.
Json joined(const std::vector<Json>& chunks, std::size_t index = 0) {
  Json message = {{"content", ""}, {"reasoning_content", ""}, {"tool_calls", Json::array()}};
  for (const Json& chunk : chunks) {
    for (const Json& choice : chunk["choices"]) {
      if (choice["index"] != index) continue;
      const Json& delta = choice["delta"];
      for (const char* text : {"content", "reasoning_content"}) {
        message[text] = message[text].get<std::string>() + delta.value(text, "");
      }
      for (const Json& call : delta.value("tool_calls", Json::array())) message["tool_calls"].push_back(call);
      if (!choice["finish_reason"].is_null()) message["finish_reason"] = choice["finish_reason"];
    }
  }
  return message;
}

TEST(OpenaiChat, AnswersWhole) {
  Harness harness;
  RawReply reply = chat(harness, R"("model": "any", "max_tokens": 5)");
  EXPECT_EQ(reply.status, 200);
  const Json answer = reply.json();
  EXPECT_THAT(answer["id"].get<std::string>(), StartsWith("chatcmpl-"));
  EXPECT_EQ(reply.headers["x-request-id"], answer["id"].get<std::string>());
  EXPECT_EQ(answer["object"], "chat.completion");
  EXPECT_EQ(answer["model"], "fake/words-1B");
  EXPECT_EQ(answer["usage"], testing::usage_json(6, 5));
  ASSERT_EQ(answer["choices"].size(), 1u);
  const Json& choice = answer["choices"][0];
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(choice["logprobs"], nullptr);
  EXPECT_EQ(choice["timings"]["prompt_us"], 2000);
  EXPECT_EQ(choice["message"],
            (Json{{"role", "assistant"}, {"content", FakeService::answer(5)}, {"refusal", nullptr}}));
}

TEST(OpenaiChat, AnswersStreamed) {
  Harness harness;
  RawReply reply = chat(harness, R"("max_tokens": 5, "stream": true)");
  EXPECT_EQ(reply.headers["content-type"], "text/event-stream; charset=utf-8");
  EXPECT_THAT(reply.body, ::testing::HasSubstr(": progress 6/6\n\n"));
  const auto chunks = chunks_of(reply);
  ASSERT_EQ(chunks.size(), 7u) << "the role, five words, the end";
  EXPECT_EQ(chunks[0]["choices"][0]["delta"], (Json{{"role", "assistant"}, {"content", ""}}));
  for (const Json& chunk : chunks) {
    EXPECT_EQ(chunk["id"], reply.headers["x-request-id"]);
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    EXPECT_FALSE(chunk.contains("usage"));
  }
  EXPECT_EQ(joined(chunks)["content"], FakeService::answer(5));
  EXPECT_EQ(chunks.back()["choices"][0]["delta"], Json::object());
  EXPECT_EQ(chunks.back()["choices"][0]["finish_reason"], "length");
}

TEST(OpenaiChat, UsageInTheStreamIfAsked) {
  Harness harness;
  const auto chunks = chunks_of(
      chat(harness, R"("max_tokens": 2, "stream": true, "stream_options": {"include_usage": true})"));
  EXPECT_EQ(chunks[0]["usage"], nullptr);
  EXPECT_EQ(chunks.back()["choices"], Json::array());
  EXPECT_EQ(chunks.back()["usage"], testing::usage_json(6, 2));
}

TEST(OpenaiChat, ThoughtsComeApart) {
  Harness harness;
  const std::string fields = R"("reasoning_effort": "low", "max_tokens": 4)";
  const Json answer = chat(harness, fields).json();
  EXPECT_EQ(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 2);
  const Json message = answer["choices"][0]["message"];
  EXPECT_EQ(message["reasoning_content"], FakeService::thought());
  EXPECT_EQ(message["content"], FakeService::answer(2));
  const Json streamed = joined(chunks_of(chat(harness, fields + R"(, "stream": true)")));
  EXPECT_EQ(streamed["reasoning_content"], FakeService::thought());
  EXPECT_EQ(streamed["content"], FakeService::answer(2));
  EXPECT_FALSE(
      chat(harness, R"("max_tokens": 1)").json()["choices"][0]["message"].contains("reasoning_content"));
}

TEST(OpenaiChat, CallsHaveIdsAndEndTheAnswer) {
  Harness harness;
  const std::string fields = std::string(kTools) + R"(, "tool_choice": "required", "max_tokens": 9)";
  const Json choice = chat(harness, fields).json()["choices"][0];
  EXPECT_EQ(choice["finish_reason"], "tool_calls");
  EXPECT_EQ(choice["message"]["content"], nullptr);
  ASSERT_EQ(choice["message"]["tool_calls"].size(), 1u);
  const Json& call = choice["message"]["tool_calls"][0];
  EXPECT_THAT(call["id"].get<std::string>(), StartsWith("call_"));
  EXPECT_EQ(call["type"], "function");
  EXPECT_EQ(call["function"], Json::parse(R"({"name": "now", "arguments": "{\"x\":1}"})"));

  const Json streamed = joined(chunks_of(chat(harness, fields + R"(, "stream": true)")));
  EXPECT_EQ(streamed["finish_reason"], "tool_calls");
  ASSERT_EQ(streamed["tool_calls"].size(), 1u);
  EXPECT_EQ(streamed["tool_calls"][0]["index"], 0);
  EXPECT_EQ(streamed["tool_calls"][0]["function"], call["function"]);
}

TEST(OpenaiChat, SeveralAnswersShareOnePrompt) {
  Harness harness;
  const Json answer = chat(harness, R"("n": 3, "max_tokens": 2, "seed": 5)").json();
  ASSERT_EQ(answer["choices"].size(), 3u);
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(answer["choices"][i]["index"], i);
    EXPECT_EQ(harness.service.submitted()[i].seed, 5 + i);
  }
  EXPECT_EQ(answer["usage"], testing::usage_json(6, 6));
  EXPECT_EQ(harness.service.chats().size(), 1u) << "rendered once";
  const auto chunks = chunks_of(chat(harness, R"("n": 2, "max_tokens": 3, "stream": true)"));
  EXPECT_EQ(joined(chunks, 0)["content"], FakeService::answer(3));
  EXPECT_EQ(joined(chunks, 1)["content"], FakeService::answer(3));
}

TEST(OpenaiChat, LogprobsAreOfTheContent) {
  Harness harness;
  const std::string fields =
      R"("logprobs": true, "top_logprobs": 2, "max_tokens": 6, "reasoning_effort": "low")";
  const Json whole = chat(harness, fields).json()["choices"][0]["logprobs"];
  ASSERT_EQ(whole["content"].size(), 4u);
  EXPECT_EQ(whole["refusal"], nullptr);
  EXPECT_EQ(whole["content"][3],
            Json::parse(R"({"token": " 狐", "logprob": -0.25, "bytes": [32, 231, 139, 144],
      "top_logprobs": [{"token": " 狐", "logprob": -0.25, "bytes": [32, 231, 139, 144]},
                       {"token": " jumps", "logprob": -1.25, "bytes": [32, 106, 117, 109, 112, 115]}]})"));
  Json streamed = Json::array();
  for (const Json& chunk : chunks_of(chat(harness, fields + R"(, "stream": true)"))) {
    const Json& logprobs = chunk["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;
    for (const Json& token : logprobs["content"]) streamed.push_back(token);
  }
  EXPECT_EQ(streamed, whole["content"]);
}

TEST(OpenaiChat, PassesOnWhatTheModelIsAskedFor) {
  Harness harness;
  chat(harness, std::string(kTools) + R"(, "max_tokens": 1, "response_format": {"type": "json_object"})");
  ASSERT_EQ(harness.service.chats().size(), 1u);
  const ChatRequest asked = harness.service.chats()[0];
  EXPECT_EQ(asked.tools.at(0).name, "now");
  EXPECT_EQ(asked.format.kind, AnswerFormat::Kind::json_object);
}

TEST(OpenaiChat, WhatTheServiceRefusesIsRefused) {
  Harness harness;
  const RawReply reply =
      harness.post("/v1/chat/completions", R"({"messages": [{"role": "user", "content": "refuse"}]})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["param"], "messages");
  EXPECT_EQ(harness.service.submitted().size(), 0u);
}

TEST(OpenaiChat, AFullQueueIsTold) {
  testing::FakeOptions options;
  options.max_queued = 0;
  Harness harness({}, options);
  EXPECT_EQ(chat(harness, R"("max_tokens": 1)").status, 503);
}

TEST(OpenaiChat, FailuresAreTold) {
  Harness harness;
  harness.service.fail_with("engine on fire");
  EXPECT_EQ(chat(harness, R"("max_tokens": 3)").status, 500);
  const RawReply streamed = chat(harness, R"("max_tokens": 3, "stream": true)");
  EXPECT_EQ(streamed.status, 200);
  EXPECT_EQ(chunks_of(streamed).back()["error"]["message"], "engine on fire");
}

TEST(OpenaiChat, ALongPromptIsRefusedByTheLimit) {
  Limits limits;
  limits.prompt_tok = 3;
  Harness harness(limits);
  const RawReply reply = chat(harness, R"("max_tokens": 3)");
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.error_message(), ::testing::HasSubstr("6 tokens, the limit prompt_tok is 3"));
}

}  // namespace
}  // namespace tandem::ipc
