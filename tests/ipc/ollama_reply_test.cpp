#include "ipc/ollama_reply.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

using std::chrono::microseconds;
using std::chrono::system_clock;

TEST(OllamaReply, WritesDates) {
  EXPECT_EQ(rfc3339(system_clock::time_point()), "1970-01-01T00:00:00.000000Z");
  EXPECT_EQ(rfc3339(system_clock::time_point(microseconds(1'700'000'000'000'007))),
            "2023-11-14T22:13:20.000007Z");
}

TEST(OllamaReply, TextStandsWhereTheRouteHasIt) {
  TextDelta said{"hi", {5}, {}, "hm", {{"get", R"({"x":1})"}}};
  OrderedJson chat;
  add_ollama_text(chat, OllamaKind::chat, said, false);
  EXPECT_EQ(chat["message"]["role"], "assistant");
  EXPECT_EQ(chat["message"]["content"], "hi");
  EXPECT_EQ(chat["message"]["thinking"], "hm");
  EXPECT_EQ(chat["message"]["tool_calls"][0]["function"]["arguments"], OrderedJson({{"x", 1}}));
  OrderedJson generated;
  add_ollama_text(generated, OllamaKind::generate, {"hi", {5}, {}, "hm", {}}, false);
  EXPECT_EQ(generated, OrderedJson({{"response", "hi"}, {"thinking", "hm"}}));
}

TEST(OllamaReply, EndsWithCountsAndNanoseconds) {
  Finished finished;
  finished.reason = FinishReason::length;
  finished.usage.prompt_tok = 3;
  finished.usage.completion_tok = 4;
  finished.usage.queue_us = 1;
  finished.usage.prompt_us = 20;
  finished.usage.decode_us = 300;
  OrderedJson object;
  add_ollama_end(object, finished);
  EXPECT_EQ(object, OrderedJson::parse(R"({"done": true, "done_reason": "length", "total_duration": 321000,
      "load_duration": 0, "prompt_eval_count": 3, "prompt_eval_duration": 20000, "eval_count": 4,
      "eval_duration": 300000})"));
  finished.reason = FinishReason::tool_calls;
  add_ollama_end(object, finished);
  EXPECT_EQ(object["done_reason"], "stop");
}

TEST(OllamaReply, WritesScores) {
  TextDelta said;
  said.scores.push_back({{7, "\xe7", -0.5f}, true, true, {{7, "\xe7", -0.5f}, {8, "b", -1.0f}}});
  OrderedJson object;
  add_ollama_text(object, OllamaKind::generate, said, true);
  const OrderedJson& token = object["logprobs"][0];
  EXPECT_EQ(token["bytes"], OrderedJson::array({0xe7}));
  EXPECT_EQ(token["logprob"], -0.5f);
  EXPECT_EQ(token["top_logprobs"][1]["token"], "b");
}

}  // namespace
}  // namespace tandem::ipc
