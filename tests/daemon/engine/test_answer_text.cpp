#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/engine/answer_text.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using testing::ElementsAre;

const model::Tokenizer& tokenizer() {
  static const auto kTokenizer =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_vocab.gguf")));
  return *kTokenizer;
}

/// What an answer of `text`, in which markers are tokens, becomes; and for each token whether it counts.
struct Read {
  TextDelta all;
  std::vector<bool> of_text;
  bool stopped = false;
  std::string stop_string;
};

Read read(const EngineRequest& request, const std::string& text) {
  AnswerText answer(tokenizer(), request);
  Read read;
  for (const auto token : tokenizer().encode(text, model::SpecialText::parsed)) {
    read.of_text.push_back(answer.push(token, read.all));
    if (answer.stopped()) break;
  }
  answer.finish(read.all);
  read.stopped = answer.stopped();
  read.stop_string = answer.stop_string();
  return read;
}

EngineRequest chat(std::vector<std::string> stop = {}) {
  EngineRequest request;
  request.chat = ChatReading{model::ChatTemplate::gemma4_r4, {}};
  request.stop = std::move(stop);
  return request;
}

constexpr const char* kCall = "<|tool_call>call:f{a:<|\"|>stop<|\"|>}<tool_call|>";

TEST(AnswerText, PlainTextIsAllContent) {
  EngineRequest plain;
  plain.stop = {"ll"};
  const auto stopped = read(plain, "hello");
  EXPECT_EQ(stopped.all.text, "he");
  EXPECT_TRUE(stopped.stopped);
  EXPECT_EQ(stopped.stop_string, "ll");
  EXPECT_EQ(read({}, "a <turn|>").all.text, "a ");
}

TEST(AnswerText, AChatComesInParts) {
  const auto parts = read(chat(), std::string("<|channel>thought\nHm.\n<channel|>Yes.") + kCall);
  EXPECT_EQ(parts.all.reasoning, "Hm.");
  EXPECT_EQ(parts.all.text, "Yes.");
  EXPECT_THAT(parts.all.calls, ElementsAre(model::ToolCall{"f", R"({"a":"stop"})"}));
  EXPECT_FALSE(parts.stopped);
}

TEST(AnswerText, ACallThatCouldNotBeSentBackIsText) {
  auto shallow = chat();
  shallow.chat->call_depth = 2;
  const std::string fits = "<|tool_call>call:f{a:[1]}<tool_call|>";
  const std::string deeper = "<|tool_call>call:f{a:[[1]]}<tool_call|>";
  const std::string strange = "<|tool_call>call:get time{}<tool_call|>";
  const auto parts = read(shallow, "A" + deeper + "B" + fits + "C" + strange);
  EXPECT_THAT(parts.all.calls, ElementsAre(model::ToolCall{"f", R"({"a":[1]})"}));
  EXPECT_EQ(parts.all.text, "A" + deeper + "BC" + strange);
}

TEST(AnswerText, CallAfterCallHasRoomThatWasThereFromTheStart) {
  AnswerText answer(tokenizer(), chat());
  TextDelta delta;
  delta.spare_call = model::tool_call_with_room();
  for (int i = 0; i < 4; ++i) {
    const auto number = std::to_string(i);
    const auto text = "<|tool_call>call:f{a:" + number + "}<tool_call|>";
    for (const auto token : tokenizer().encode(text, model::SpecialText::parsed)) answer.push(token, delta);
    EXPECT_THAT(delta.calls, ElementsAre(model::ToolCall{"f", "{\"a\":" + number + "}"}));
    EXPECT_GE(delta.calls.front().arguments.capacity(), model::kRoomForArguments) << i;
    delta.clear();
  }
}

TEST(AnswerText, CountsTheTokensOfThoughts) {
  const auto count = [](const std::string& text, const std::string& thought, bool in_thought = false) {
    auto request = chat();
    request.chat->start.in_thought = in_thought;
    AnswerText answer(tokenizer(), request);
    TextDelta delta;
    for (const auto token : tokenizer().encode(text, model::SpecialText::parsed)) answer.push(token, delta);
    answer.finish(delta);
    EXPECT_EQ(delta.reasoning, thought);
    return answer.thought_tok();
  };
  const std::string thought = "First this.\n\nThen 日本 that \U0001F9A9, and so on";
  const auto tokens = tokenizer().encode(thought, model::SpecialText::plain).size();
  ASSERT_GT(tokens, 20U);
  EXPECT_EQ(count("<|channel>thought\n" + thought + "<channel|>Yes.", thought), tokens);
  EXPECT_EQ(count("<|channel>thought\n" + thought, thought), tokens) << "cut off";
  EXPECT_EQ(count("<|channel>thought\n" + thought + "<turn|>", thought), tokens) << "ended";
  EXPECT_EQ(count(thought + "<channel|>Yes." + kCall, thought, true), tokens) << "begun by the prompt";
  EXPECT_EQ(count("<|channel>thought\n<channel|>Yes.", ""), 0U);
  EXPECT_EQ(count("<|channel>other\nNo thought.<channel|>Yes.", ""), 0U);
  EXPECT_EQ(count("Yes." + std::string(kCall), ""), 0U);
}

TEST(AnswerText, TokensOfThoughtsAndCallsDoNotCount) {
  const auto parts = read(chat(), std::string("<|channel>thought\nHm.\n<channel|>Yes.") + kCall + "<turn|>");
  std::string counted;
  const auto tokens = tokenizer().encode(
      std::string("<|channel>thought\nHm.\n<channel|>Yes.") + kCall + "<turn|>", model::SpecialText::parsed);
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (parts.of_text[i]) counted += tokenizer().token_bytes(tokens[i]);
  }
  EXPECT_EQ(counted, "Yes.");
}

TEST(AnswerText, StopStringsActOnTheContentOnly) {
  const auto parts =
      read(chat({"stop"}), std::string("<|channel>thought\nstop\n<channel|>go ") + kCall + "on stop!");
  EXPECT_EQ(parts.all.reasoning, "stop");
  EXPECT_EQ(parts.all.text, "go on ");
  EXPECT_EQ(parts.all.calls.size(), 1U);
  EXPECT_EQ(parts.stop_string, "stop");
}

TEST(AnswerText, NoStopStringSpansACall) {
  const auto parts = read(chat({"stop"}), std::string("st") + kCall + "op");
  EXPECT_EQ(parts.all.text, "stop");
  EXPECT_FALSE(parts.stopped);
}

TEST(AnswerText, MayEndWithTheFirstCall) {
  auto request = chat();
  request.chat->ends_after_call = true;
  const auto parts = read(request, std::string(kCall) + kCall + "more");
  EXPECT_EQ(parts.all.calls.size(), 1U);
  EXPECT_EQ(parts.all.text, "");
  EXPECT_TRUE(parts.stopped);
  EXPECT_EQ(parts.stop_string, "");
}

TEST(AnswerText, AMalformedCallIsText) {
  const auto parts = read(chat(), "<|tool_call>call:f{oops<tool_call|>");
  EXPECT_EQ(parts.all.text, "<|tool_call>call:f{oops<tool_call|>");
  EXPECT_TRUE(parts.all.calls.empty());
}

}  // namespace
}  // namespace tandem::engine
