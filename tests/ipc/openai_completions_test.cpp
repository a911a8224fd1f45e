#include "ipc/openai_completions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawReply;
using ::testing::StartsWith;

/// The text of one choice of a streamed answer.
std::string streamed_text(const RawReply& reply, std::size_t index = 0) {
  std::string text;
  for (const Json& event : testing::sse_events(reply)) {
    for (const Json& choice : event["choices"]) {
      if (choice["index"] == index) text += choice["text"].get<std::string>();
    }
  }
  return text;
}

TEST(OpenaiCompletions, AnswerWhole) {
  Harness harness;
  RawReply reply = harness.complete(R"({"model": "any name", "prompt": "hello", "max_tokens": 5})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers["content-type"], "application/json");
  const Json body = reply.json();
  EXPECT_THAT(body["id"].get<std::string>(), StartsWith("cmpl-"));
  EXPECT_EQ(reply.headers["x-request-id"], body["id"].get<std::string>());
  EXPECT_EQ(body["object"], "text_completion");
  EXPECT_GT(body["created"].get<std::int64_t>(), 1'700'000'000);
  EXPECT_EQ(body["model"], "fake/words-1B");
  EXPECT_EQ(body["usage"], testing::usage_json(6, 5));
  ASSERT_EQ(body["choices"].size(), 1u);
  const Json& choice = body["choices"][0];
  EXPECT_EQ(choice["text"], FakeService::answer(5));
  EXPECT_EQ(choice["index"], 0);
  EXPECT_EQ(choice["logprobs"], nullptr);
  EXPECT_EQ(choice["finish_reason"], "length");
  EXPECT_EQ(
      choice["timings"],
      Json::parse(R"({"queue_us": 10, "prompt_us": 2000, "decode_us": 5000, "decode_gb_per_s": 12.5})"));
}

TEST(OpenaiCompletions, AnswerStreamed) {
  Harness harness;
  RawReply reply = harness.complete(R"({"prompt": "hello", "max_tokens": 5, "stream": true})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers["content-type"], "text/event-stream; charset=utf-8");
  EXPECT_EQ(reply.headers["cache-control"], "no-cache");
  EXPECT_EQ(reply.headers["transfer-encoding"], "chunked");
  EXPECT_THAT(reply.body, StartsWith(": progress 6/6\n\n"));
  EXPECT_EQ(streamed_text(reply), FakeService::answer(5));
  const auto events = testing::sse_data(reply.body);
  ASSERT_EQ(events.size(), 7u) << "five words, the end, [DONE]";
  EXPECT_EQ(events.back(), "[DONE]");
  for (std::size_t i = 0; i + 1 < events.size(); ++i) {
    const Json event = Json::parse(events[i]);
    EXPECT_EQ(event["id"], reply.headers["x-request-id"]);
    EXPECT_EQ(event["object"], "text_completion");
    EXPECT_FALSE(event.contains("usage"));
    EXPECT_EQ(event["choices"][0]["finish_reason"], i < 5 ? Json(nullptr) : Json("length"));
  }
}

TEST(OpenaiCompletions, UsageInTheStreamIfAsked) {
  Harness harness;
  const RawReply reply = harness.complete(
      R"({"prompt": "hello", "max_tokens": 1, "stream": true, "stream_options": {"include_usage": true}})");
  const auto events = testing::sse_data(reply.body);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(Json::parse(events[0])["usage"], nullptr);
  EXPECT_EQ(Json::parse(events[1])["usage"], nullptr);
  const Json last = Json::parse(events[2]);
  EXPECT_EQ(last["choices"], Json::array());
  EXPECT_EQ(last["usage"], testing::usage_json(6, 1));
}

TEST(OpenaiCompletions, SeveralPromptsAreSeveralChoices) {
  Harness harness;
  const Json body = harness.complete(R"({"prompt": ["a", "bc"], "max_tokens": 2})").json();
  ASSERT_EQ(body["choices"].size(), 2u);
  EXPECT_EQ(body["choices"][0]["index"], 0);
  EXPECT_EQ(body["choices"][1]["index"], 1);
  EXPECT_EQ(body["choices"][1]["text"], FakeService::answer(2));
  EXPECT_EQ(body["usage"], testing::usage_json(5, 4));
  const RawReply streamed =
      harness.complete(R"({"prompt": [[300], [301, 302]], "max_tokens": 3, "stream": true})");
  EXPECT_EQ(streamed_text(streamed, 0), FakeService::answer(3));
  EXPECT_EQ(streamed_text(streamed, 1), FakeService::answer(3));
  EXPECT_EQ(testing::sse_data(streamed.body).size(), 9u);
}

TEST(OpenaiCompletions, SeveralAnswersToAPromptCountItOnce) {
  Harness harness;
  const Json body = harness.complete(R"({"prompt": ["ab", "c"], "max_tokens": 2, "n": 2})").json();
  ASSERT_EQ(body["choices"].size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(body["choices"][i]["index"], i);
  EXPECT_EQ(body["usage"], testing::usage_json(5, 8));
}

TEST(OpenaiCompletions, BestOfMakesMoreThanItSends) {
  Harness harness;
  const Json body = harness.complete(R"({"prompt": "ab", "max_tokens": 2, "n": 1, "best_of": 3})").json();
  ASSERT_EQ(body["choices"].size(), 1u);
  EXPECT_EQ(body["choices"][0]["logprobs"], nullptr);
  EXPECT_EQ(body["usage"]["completion_tokens"], 6);
  EXPECT_EQ(harness.service.submitted().size(), 3u);
}

TEST(OpenaiCompletions, ScoresHaveTheSameShapeStreamedAndWhole) {
  Harness harness;
  const std::string fields = R"("prompt": "hi", "max_tokens": 4, "logprobs": 2, "echo": true)";
  const Json whole = harness.complete("{" + fields + "}").json()["choices"][0];
  EXPECT_EQ(whole["text"], "hi" + FakeService::answer(4));
  EXPECT_EQ(whole["logprobs"], Json::parse(R"({
      "tokens": ["<bos>", "h", "i", " The", " quick", " brown", " 狐"],
      "token_logprobs": [null, -1.0, -1.0, -0.25, -0.25, -0.25, -0.25],
      "top_logprobs": [null, {"h": -1.0}, {"i": -1.0}, {" The": -0.25, " quick": -1.25},
                       {" quick": -0.25, " brown": -1.25}, {" brown": -0.25, " 狐": -1.25},
                       {" 狐": -0.25, " jumps": -1.25}],
      "text_offset": [0, 0, 1, 2, 6, 12, 18]})"));
  const RawReply streamed = harness.complete("{" + fields + R"(, "stream": true})");
  Json joined = {{"tokens", {}}, {"token_logprobs", {}}, {"top_logprobs", {}}, {"text_offset", {}}};
  for (const Json& event : testing::sse_events(streamed)) {
    const Json& logprobs = event["choices"][0]["logprobs"];
    if (logprobs.is_null()) continue;
    for (auto& [name, values] : joined.items()) {
      for (const Json& value : logprobs[name]) values.push_back(value);
    }
  }
  EXPECT_EQ(joined, whole["logprobs"]);
  EXPECT_EQ(streamed_text(streamed), whole["text"].get<std::string>());
}

/// Of 20 alternatives to each token, scores of 49,933 tokens are more than are kept at once.
TEST(OpenaiCompletions, ScoresOfPromptsAreBoundedUnlessStreamed) {
  testing::FakeOptions options;
  options.context_tok = 60'000;
  Harness harness({}, options);
  const auto request = [](std::size_t prompt_tok, const std::string& more) {
    const std::string prompt(prompt_tok - 1, 'a');  // and BOS
    return R"({"prompt": ")" + prompt + R"(", "max_tokens": 1, "echo": true, "logprobs": 20)" + more + "}";
  };
  const RawReply refused = harness.complete(request(49'933, ""));
  EXPECT_EQ(refused.status, 400);
  EXPECT_EQ(refused.json()["error"]["param"], "logprobs");
  EXPECT_THAT(refused.error_message(), HasSubstr("1048593 scores"));
  EXPECT_EQ(harness.complete(request(49'933, R"(, "stream": true)")).status, 200);

  harness.service.hold("queued");
  testing::RawClient client(harness.path());
  client.request("POST", "/v1/completions", request(30'000, ""));
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  const RawReply later = harness.complete(request(30'000, ""));
  EXPECT_EQ(later.status, 503);
  EXPECT_THAT(later.error_message(), HasSubstr("630000 scores"));
  harness.service.hold(std::nullopt);
  EXPECT_EQ(client.read_reply().status, 200);
  EXPECT_EQ(harness.complete(request(49'932, "")).status, 200);
}

TEST(OpenaiCompletions, TokensAsIds) {
  Harness harness;
  const Json logprobs =
      harness
          .complete(R"({"prompt": "hi", "max_tokens": 1, "logprobs": 2, "return_tokens_as_token_ids": true})")
          .json()["choices"][0]["logprobs"];
  EXPECT_EQ(logprobs["tokens"], Json::parse(R"(["token_id:16"])"));
  EXPECT_EQ(logprobs["top_logprobs"], Json::parse(R"([{"token_id:16": -0.25, "token_id:17": -1.25}])"));
}

TEST(OpenaiCompletions, NoTokensIsAnAnswerToo) {
  Harness harness;
  const Json body = harness.complete(R"({"prompt": "hi", "max_tokens": 0, "echo": true})").json();
  EXPECT_EQ(body["choices"][0]["text"], "hi");
  EXPECT_EQ(body["choices"][0]["finish_reason"], "length");
  EXPECT_EQ(body["usage"]["completion_tokens"], 0);
}

TEST(OpenaiCompletions, LongPromptsShowProgress) {
  testing::FakeOptions options;
  options.token_time = std::chrono::milliseconds(5);
  Harness harness({}, options);
  const std::string prompt(2047, 'x');
  const RawReply reply =
      harness.complete(R"({"prompt": ")" + prompt + R"(", "max_tokens": 1, "stream": true})");
  EXPECT_THAT(reply.body, HasSubstr(": progress 2048/2048\n\n"));
  EXPECT_EQ(streamed_text(reply), FakeService::answer(1));
}

TEST(OpenaiCompletions, WhatTheServiceRefusesIsAnError) {
  Harness harness;
  const std::string prompt(5000, 'x');
  const RawReply reply = harness.complete(R"({"prompt": ")" + prompt + R"(", "stream": true})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.json()["error"]["code"], "context_length_exceeded");
  EXPECT_EQ(reply.json()["error"]["param"], "prompt");
}

TEST(OpenaiCompletions, ARefusedRequestChangesNothing) {
  testing::FakeOptions options;
  options.max_queued = 2;
  Harness harness({}, options);
  harness.service.hold("queued");
  const RawReply reply = harness.complete(R"({"prompt": ["a", "b", "c"]})");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.json()["error"]["code"], "queue_full");
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(harness.service.cancelled(), 2u);
}

TEST(OpenaiCompletions, FailuresAreTold) {
  Harness harness;
  harness.service.fail_with("the device is gone");
  const RawReply whole = harness.complete(R"({"prompt": "a"})");
  EXPECT_EQ(whole.status, 500);
  EXPECT_EQ(whole.error_message(), "the device is gone");
  const RawReply streamed = harness.complete(R"({"prompt": "a", "stream": true})");
  EXPECT_EQ(streamed.status, 200);
  const auto events = testing::sse_data(streamed.body);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(Json::parse(events[0])["choices"][0]["text"], FakeService::answer(1));
  EXPECT_EQ(Json::parse(events[1]),
            Json::parse(R"({"error": {"message": "the device is gone", "type": "server_error",
                                      "param": null, "code": null}})"));
  EXPECT_EQ(events[2], "[DONE]");
}

TEST(OpenaiCompletions, OneFailureEndsTheOthers) {
  Harness harness;
  harness.service.hold("queued");
  testing::RawClient client(harness.path());
  client.request("POST", "/v1/completions", R"({"prompt": ["a", "b"], "max_tokens": 9})");
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 2; }));
  const std::string second = harness.service.submitted()[1].id;
  EXPECT_EQ(testing::once(harness.path(), "DELETE", "/v1/requests/" + second).json()["cancelled"], true);
  const RawReply reply = client.read_reply();
  EXPECT_EQ(reply.status, 499);
  EXPECT_EQ(reply.json()["error"]["code"], "request_cancelled");
  EXPECT_TRUE(harness.becomes_idle());
}

class CancelInPhase : public ::testing::TestWithParam<std::tuple<const char*, bool>> {};

TEST_P(CancelInPhase, EndsTheRequest) {
  const auto& [phase, stream] = GetParam();
  Harness harness;
  harness.service.hold(phase);
  testing::RawClient client(harness.path());
  client.request(
      "POST", "/v1/completions",
      std::string(R"({"prompt": "a", "max_tokens": 9, "stream": )") + (stream ? "true}" : "false}"));
  ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
  const std::string id = harness.service.submitted()[0].id;
  const RawReply removed = testing::once(harness.path(), "DELETE", "/v1/requests/" + id);
  EXPECT_EQ(removed.status, 200);
  EXPECT_EQ(removed.json(), Json({{"id", id}, {"object", "request"}, {"cancelled", true}}));
  RawReply reply = client.read_reply();
  EXPECT_EQ(reply.headers["x-request-id"], id);
  if (stream) {
    EXPECT_EQ(reply.status, 200);
    const auto events = testing::sse_data(reply.body);
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(Json::parse(events[0])["error"]["code"], "request_cancelled");
  } else {
    EXPECT_EQ(reply.status, 499);
    EXPECT_EQ(reply.json()["error"]["code"], "request_cancelled");
  }
  EXPECT_TRUE(harness.becomes_idle());
  EXPECT_EQ(testing::once(harness.path(), "DELETE", "/v1/requests/" + id).status, 404);
  client.request("GET", "/health");
  EXPECT_EQ(client.read_reply().status, 200) << "the connection goes on";
}

/// Clients of one proxy have one uid, and one does not end what another asked for.
TEST(CancelBehindAProxy, NobodyEndsWhatWasForwardedForNobodyInParticular) {
  Harness harness;
  harness.service.hold("decode");
  const std::string forwarded = "X-Forwarded-For: 192.0.2.7\r\n";
  {
    testing::RawClient client(harness.path());
    client.request("POST", "/v1/completions", R"({"prompt": "a", "max_tokens": 9})", forwarded);
    ASSERT_TRUE(harness.service.wait_until([&] { return harness.service.unfinished() == 1; }));
    const std::string target = "/v1/requests/" + harness.service.submitted()[0].id;
    const int refused = ::geteuid() == 0 ? 200 : 403;  // root may, if it comes by itself
    EXPECT_EQ(testing::once(harness.path(), "DELETE", target, {}, forwarded).status, 403);
    EXPECT_EQ(testing::once(harness.path(), "DELETE", target, {}, "Via: 1.1 x\r\n").status, 403);
    EXPECT_EQ(harness.service.cancelled(), 0u);
    EXPECT_EQ(testing::once(harness.path(), "DELETE", target).status, refused);
  }
  EXPECT_TRUE(harness.becomes_idle()) << "its client has left";
}

INSTANTIATE_TEST_SUITE_P(Phases, CancelInPhase,
                         ::testing::Combine(::testing::Values("queued", "prompt", "decode"),
                                            ::testing::Bool()));

}  // namespace
}  // namespace tandem::ipc
