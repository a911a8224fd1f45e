#include "ipc/openai_completion_reply.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

ScoredToken token(std::int32_t id, const std::string& text, float logprob,
                  std::vector<TokenLogprob> top = {}) {
  return {{id, text, logprob}, true, true, std::move(top)};
}

TEST(CountCharacters, CountsCodePoints) {
  EXPECT_EQ(count_characters(""), 0u);
  EXPECT_EQ(count_characters("abc"), 3u);
  EXPECT_EQ(count_characters("naïve 狐 😀"), 9u);
}

TEST(AppendLogprobs, HasOneEntryATokenInEveryArray) {
  OrderedJson logprobs;
  append_logprobs(logprobs, std::vector{token(5, " 狐", -0.5f, {{5, " 狐", -0.5f}, {6, "b", -1.0f}})},
                  TokenNames::text, 10);
  append_logprobs(logprobs, std::vector{token(7, "ab", -0.25f), token(8, "c", -0.75f)}, TokenNames::text, 12);
  EXPECT_EQ(to_text(logprobs),
            R"({"tokens":[" 狐","ab","c"],"token_logprobs":[-0.5,-0.25,-0.75],)"
            R"("top_logprobs":[{" 狐":-0.5,"b":-1.0},{"ab":-0.25},{"c":-0.75}],"text_offset":[10,12,14]})");
}

TEST(AppendLogprobs, ChosenTokenIsAmongTheTopOnce) {
  OrderedJson logprobs;
  append_logprobs(logprobs, std::vector{token(9, "z", -5.0f, {{5, "a", -0.5f}, {6, "b", -1.0f}})},
                  TokenNames::text, 0);
  EXPECT_EQ(to_text(logprobs["top_logprobs"]), R"([{"a":-0.5,"b":-1.0,"z":-5.0}])");
}

TEST(AppendLogprobs, TokensWithEqualTextKeepTheMoreProbable) {
  OrderedJson logprobs;
  append_logprobs(logprobs, std::vector{token(9, "z", -5.0f, {{5, "a", -0.5f}, {6, "a", -1.0f}})},
                  TokenNames::text, 0);
  EXPECT_EQ(to_text(logprobs["top_logprobs"]), R"([{"a":-0.5,"z":-5.0}])");
}

TEST(AppendLogprobs, NamesTokensByIdIfAsked) {
  OrderedJson logprobs;
  append_logprobs(logprobs, std::vector{token(9, "z", -5.0f, {{5, "a", -0.5f}, {6, "a", -1.0f}})},
                  TokenNames::ids, 0);
  EXPECT_EQ(to_text(logprobs["tokens"]), R"(["token_id:9"])");
  EXPECT_EQ(to_text(logprobs["top_logprobs"]),
            R"([{"token_id:5":-0.5,"token_id:6":-1.0,"token_id:9":-5.0}])");
}

TEST(AppendLogprobs, PartsOfACharacterAreWrittenAsBytes) {
  OrderedJson logprobs;
  append_logprobs(logprobs,
                  std::vector{token(1, "\xe7", -1.0f, {{1, "\xe7", -1.0f}, {2, "\xe8", -2.0f}}),
                              token(3, "\x8b\x90", -0.5f), token(4, "é", -0.5f)},
                  TokenNames::text, 0);
  EXPECT_EQ(to_text(logprobs["tokens"]), R"(["bytes:\\xe7","bytes:\\x8b\\x90","é"])");
  EXPECT_EQ(to_text(logprobs["top_logprobs"][0]), R"({"bytes:\\xe7":-1.0,"bytes:\\xe8":-2.0})");
  EXPECT_EQ(to_text(logprobs["text_offset"]), "[0,1,1]") << "together they are one character";
}

TEST(AppendLogprobs, FirstTokenOfAPromptHasNone) {
  OrderedJson logprobs;
  ScoredToken first = token(2, "<bos>", 0.0f);
  first.has_logprob = false;
  first.in_text = false;
  append_logprobs(logprobs, std::vector{first}, TokenNames::text, 0);
  EXPECT_EQ(to_text(logprobs),
            R"({"tokens":["<bos>"],"token_logprobs":[null],"top_logprobs":[null],"text_offset":[0]})");
  append_logprobs(logprobs, std::vector{first, token(3, "ab", -1.0f)}, TokenNames::text, 0);
  EXPECT_EQ(to_text(logprobs["text_offset"]), "[0,0,0]") << "the text does not show control tokens";
}

TEST(CompletionChoice, OpenAndFinished) {
  EXPECT_EQ(to_text(completion_choice(3, "x", nullptr, nullptr)),
            R"({"text":"x","index":3,"logprobs":null,"finish_reason":null})");
  Finished finished{FinishReason::length, {5, 7, 1, 2, 3, 0.0}, {}};
  EXPECT_EQ(to_text(completion_choice(0, "", nullptr, &finished)),
            R"({"text":"","index":0,"logprobs":null,"finish_reason":"length",)"
            R"("timings":{"queue_us":1,"prompt_us":2,"decode_us":3}})");
  finished.reason = FinishReason::stop;
  finished.usage.decode_gb_per_s = 12.5;
  const OrderedJson stopped = completion_choice(0, "", nullptr, &finished);
  EXPECT_EQ(stopped["finish_reason"], "stop");
  EXPECT_EQ(stopped["timings"]["decode_gb_per_s"], 12.5);
}

TEST(OpenaiUsage, HasTheTotalToo) {
  Usage usage;
  usage.prompt_tok = 6;
  usage.completion_tok = 9;
  usage.reasoning_tok = 4;
  EXPECT_EQ(to_text(openai_usage(usage)), R"({"prompt_tokens":6,"completion_tokens":9,"total_tokens":15,)"
                                          R"("prompt_tokens_details":{"cached_tokens":0},)"
                                          R"("completion_tokens_details":{"reasoning_tokens":4}})");
}

}  // namespace
}  // namespace tandem::ipc
