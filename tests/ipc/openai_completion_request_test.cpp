#include "ipc/openai_completion_request.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/fake_service.h"

namespace tandem::ipc {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr std::uint32_t kVocab = testing::FakeService::kVocab;

Limits small_limits() {
  Limits limits;
  limits.prompts = 3;
  limits.prompt_tok = 5;
  limits.stop_strings = 2;
  limits.stop_bytes = 4;
  return limits;
}

CompletionRequest read_completion(const std::string& body) {
  return read_completion_request(Json::parse(body), small_limits(), kVocab);
}

std::vector<GenerationRequest> sequences(const std::string& body) {
  testing::FakeService service;
  return to_sequences(read_completion(body), "cmpl-1", "1000", small_limits(), service);
}

TEST(CompletionRequest, DefaultsAreTheApis) {
  const CompletionRequest request = read_completion(R"({"prompt": "a"})");
  EXPECT_EQ(request.settings.max_tokens, 16u);
  EXPECT_FALSE(request.stream);
  EXPECT_FALSE(request.include_usage);
  EXPECT_EQ(request.names, TokenNames::text);
  EXPECT_FALSE(request.shows_logprobs);
  EXPECT_EQ(request.n, 1u);
  EXPECT_EQ(request.best_of, 1u);
  EXPECT_EQ(request.format.kind, AnswerFormat::Kind::free);
  EXPECT_TRUE(request.settings.logit_bias.empty());
  EXPECT_FALSE(request.settings.echo);
  EXPECT_EQ(request.settings.temperature, std::nullopt);
  EXPECT_EQ(request.settings.top_k, std::nullopt);
  EXPECT_EQ(request.settings.top_p, std::nullopt);
  EXPECT_EQ(request.settings.min_p, std::nullopt);
  EXPECT_EQ(request.settings.repetition_penalty, std::nullopt);
  EXPECT_EQ(request.settings.presence_penalty, std::nullopt);
  EXPECT_EQ(request.settings.frequency_penalty, std::nullopt);
  EXPECT_EQ(request.settings.seed, std::nullopt);
  EXPECT_EQ(request.settings.logprobs, std::nullopt);
  EXPECT_TRUE(request.settings.stop.empty());
}

TEST(CompletionRequest, ReadsEveryField) {
  const CompletionRequest request = read_completion(R"({"model": "any", "prompt": "a", "stream": true,
      "stream_options": {"include_usage": true, "include_obfuscation": false}, "max_tokens": 0,
      "temperature": 0, "top_k": 40, "top_p": 0.5, "min_p": 0.25, "repetition_penalty": 1.5,
      "presence_penalty": -2, "frequency_penalty": 2, "seed": -1, "stop": ["a", "bc"], "logprobs": 20,
      "return_tokens_as_token_ids": true, "echo": true, "n": 2, "best_of": 2,
      "logit_bias": {"0": -100, "511": 2.5}, "grammar": "root ::= \"a\"", "suffix": null, "user": "me"})");
  const GenerationRequest& settings = request.settings;
  EXPECT_TRUE(request.stream);
  EXPECT_TRUE(request.include_usage);
  EXPECT_EQ(request.names, TokenNames::ids);
  EXPECT_TRUE(request.shows_logprobs);
  EXPECT_EQ(settings.max_tokens, 0u);
  EXPECT_EQ(settings.temperature, 0.0f);
  EXPECT_EQ(settings.top_k, 40u);
  EXPECT_EQ(settings.top_p, 0.5f);
  EXPECT_EQ(settings.min_p, 0.25f);
  EXPECT_EQ(settings.repetition_penalty, 1.5f);
  EXPECT_EQ(settings.presence_penalty, -2.0f);
  EXPECT_EQ(settings.frequency_penalty, 2.0f);
  EXPECT_EQ(settings.seed, UINT64_MAX);
  EXPECT_THAT(settings.stop, ElementsAre("a", "bc"));
  EXPECT_EQ(settings.logprobs, 20u);
  EXPECT_TRUE(settings.echo);
  EXPECT_EQ(request.n, 2u);
  EXPECT_EQ(request.best_of, 2u);
  ASSERT_EQ(settings.logit_bias.size(), 2u);
  EXPECT_EQ(settings.logit_bias[0].token, 0);
  EXPECT_EQ(settings.logit_bias[0].bias, -100.0f);
  EXPECT_EQ(settings.logit_bias[1].token, 511);
  EXPECT_EQ(settings.logit_bias[1].bias, 2.5f);
  EXPECT_EQ(request.format.kind, AnswerFormat::Kind::gbnf);
  EXPECT_EQ(request.format.grammar, "root ::= \"a\"");
  EXPECT_EQ(request.format.field, "grammar");
}

TEST(CompletionRequest, ASchemaKeepsTheOrderOfItsMembers) {
  const auto request =
      read_completion(R"({"prompt": "a", "json_schema": {"properties": {"z": {}, "a": {}, "m": {}}}})");
  EXPECT_EQ(request.format.kind, AnswerFormat::Kind::json_schema);
  EXPECT_EQ(request.format.schema.dump(), R"({"properties":{"z":{},"a":{},"m":{}}})");
}

TEST(CompletionRequest, BestOfIsNUnlessItIsGiven) {
  EXPECT_EQ(read_completion(R"({"prompt": "a", "n": 3})").best_of, 3u);
  const auto ranked = read_completion(R"({"prompt": "a", "n": 2, "best_of": 5})");
  EXPECT_EQ(ranked.n, 2u);
  EXPECT_EQ(ranked.best_of, 5u);
  EXPECT_EQ(ranked.settings.logprobs, 0u) << "to rank by";
  EXPECT_FALSE(ranked.shows_logprobs);
}

TEST(CompletionRequest, TopKMinusOneIsNoLimit) {
  EXPECT_EQ(read_completion(R"({"prompt": "a", "top_k": -1})").settings.top_k, 0u);
}

TEST(CompletionRequest, OneStopStringNeedsNoArray) {
  EXPECT_THAT(read_completion(R"({"prompt": "a", "stop": "x"})").settings.stop, ElementsAre("x"));
}

TEST(CompletionRequest, NullIsAbsent) {
  EXPECT_NO_THROW(
      read_completion(R"({"prompt": "a", "max_tokens": null, "stop": null, "logprobs": null, "n": null,
                           "logit_bias": null, "stream_options": null, "seed": null})"));
}

struct CompletionRefusal {
  std::string fields;  ///< beside (or, if it has one, instead of) the prompt
  std::string param;
  std::string message;
};

class RefusedRequest : public ::testing::TestWithParam<CompletionRefusal> {};

TEST_P(RefusedRequest, NamesFieldAndReason) {
  const CompletionRefusal& expected = GetParam();
  const bool own_prompt = expected.fields.find("\"prompt\"") != std::string::npos;
  try {
    read_completion("{" + std::string(own_prompt ? "" : "\"prompt\": \"a\", ") + expected.fields + "}");
    FAIL() << "accepted: " << expected.fields;
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    EXPECT_EQ(error.type(), "invalid_request_error");
    EXPECT_EQ(error.param(), expected.param);
    EXPECT_THAT(error.what(), HasSubstr(expected.message));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Ranges, RefusedRequest,
    ::testing::Values(
        CompletionRefusal{R"("max_tokens": -1)", "max_tokens", "between 0 and 2147483647"},
        CompletionRefusal{R"("max_tokens": 2147483648)", "max_tokens", "between 0 and 2147483647"},
        CompletionRefusal{R"("max_tokens": 1.5)", "max_tokens", "integer"},
        CompletionRefusal{R"("max_tokens": "16")", "max_tokens", "integer"},
        CompletionRefusal{R"("temperature": -0.1)", "temperature", "between 0.0 and 2.0"},
        CompletionRefusal{R"("temperature": 2.1)", "temperature", "between 0.0 and 2.0"},
        CompletionRefusal{R"("temperature": true)", "temperature", "number"},
        CompletionRefusal{R"("top_k": -2)", "top_k", "between -1 and 1000000"},
        CompletionRefusal{R"("top_k": 1000001)", "top_k", "between -1 and 1000000"},
        CompletionRefusal{R"("top_p": 1.01)", "top_p", "between 0.0 and 1.0"},
        CompletionRefusal{R"("min_p": -1)", "min_p", "between 0.0 and 1.0"},
        CompletionRefusal{R"("repetition_penalty": 0)", "repetition_penalty", "between 0.01 and 10.0"},
        CompletionRefusal{R"("presence_penalty": 2.5)", "presence_penalty", "between -2.0 and 2.0"},
        CompletionRefusal{R"("frequency_penalty": -2.5)", "frequency_penalty", "between -2.0 and 2.0"},
        CompletionRefusal{R"("seed": 9223372036854775808)", "seed", "between"},
        CompletionRefusal{R"("seed": "x")", "seed", "integer"},
        CompletionRefusal{R"("logprobs": 21)", "logprobs", "between 0 and 20"},
        CompletionRefusal{R"("logprobs": true)", "logprobs", "integer"},
        CompletionRefusal{R"("stream": 1)", "stream", "true or false"},
        CompletionRefusal{R"("echo": "yes")", "echo", "true or false"}));

INSTANTIATE_TEST_SUITE_P(
    Choices, RefusedRequest,
    ::testing::Values(CompletionRefusal{R"("n": 0)", "n", "between 1 and 64"},
                      CompletionRefusal{R"("n": 65)", "n", "between 1 and 64"},
                      CompletionRefusal{R"("n": 3, "best_of": 2)", "best_of", "less than 'n'"},
                      CompletionRefusal{R"("best_of": 3, "stream": true)", "best_of", "cannot be streamed"},
                      CompletionRefusal{R"("prompt": ["a", "b"], "n": 33)", "n", "more than 64 answers"}));

INSTANTIATE_TEST_SUITE_P(
    LogitBias, RefusedRequest,
    ::testing::Values(
        CompletionRefusal{R"("logit_bias": {"512": 1})", "logit_bias", "not a token id from 0 to 511"},
        CompletionRefusal{R"("logit_bias": {"-1": 1})", "logit_bias", "'-1'"},
        CompletionRefusal{R"("logit_bias": {"": 1})", "logit_bias", "not a token id"},
        CompletionRefusal{R"("logit_bias": {"1x": 1})", "logit_bias", "'1x'"},
        CompletionRefusal{R"("logit_bias": {"1": 101})", "logit_bias.1", "between -100.0 and 100.0"},
        CompletionRefusal{R"("logit_bias": {"1": null})", "logit_bias.1", "number"},
        CompletionRefusal{R"("logit_bias": {"1": 1, "01": 1})", "logit_bias", "token 1 twice"}));

INSTANTIATE_TEST_SUITE_P(Formats, RefusedRequest,
                         ::testing::Values(CompletionRefusal{R"("grammar": 5)", "grammar", "string"},
                                           CompletionRefusal{R"("grammar": "", "json_schema": {})",
                                                             "json_schema", "exclude each other"}));

INSTANTIATE_TEST_SUITE_P(
    OneValueOnly, RefusedRequest,
    ::testing::Values(CompletionRefusal{R"("suffix": "x")", "suffix", "not supported"},
                      CompletionRefusal{R"("logit_bias": [])", "logit_bias", "object"},
                      CompletionRefusal{R"("model": 5)", "model", "string"},
                      CompletionRefusal{R"("user": 5)", "user", "string"},
                      CompletionRefusal{R"("max_completion_tokens": 5)", "max_completion_tokens",
                                        "not a field"},
                      CompletionRefusal{R"("stream_options": {})", "stream_options", "stream: true"},
                      CompletionRefusal{R"("stream": true, "stream_options": 1)", "stream_options", "object"},
                      CompletionRefusal{R"("stream": true, "stream_options": {"include_usage": 1})",
                                        "stream_options.include_usage", "true or false"},
                      CompletionRefusal{R"("stream": true, "stream_options": {"usage": true})",
                                        "stream_options.usage", "not a field"}));

INSTANTIATE_TEST_SUITE_P(
    Stop, RefusedRequest,
    ::testing::Values(CompletionRefusal{R"("stop": ["a", "b", "c"])", "stop", "the limit stop_strings is 2"},
                      CompletionRefusal{R"("stop": "abcde")", "stop", "the limit stop_bytes is 4"},
                      CompletionRefusal{R"("stop": "")", "stop", "empty"},
                      CompletionRefusal{R"("stop": 5)", "stop", "string"},
                      CompletionRefusal{R"("stop": ["a", 5])", "stop", "string"}));

INSTANTIATE_TEST_SUITE_P(
    Prompt, RefusedRequest,
    ::testing::Values(
        CompletionRefusal{R"("prompt": null)", "prompt", "required"},
        CompletionRefusal{R"("prompt": 5)", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": {})", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": [])", "prompt", "empty array"},
        CompletionRefusal{R"("prompt": [[]])", "prompt", "no tokens"},
        CompletionRefusal{R"("prompt": [[[1]]])", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": ["a", 1])", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": [1, "a"])", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": ["a", [1]])", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": [1.5])", "prompt", "must be a string"},
        CompletionRefusal{R"("prompt": [-1])", "prompt", "vocabulary ends at 511"},
        CompletionRefusal{R"("prompt": [512])", "prompt", "token id 512"},
        CompletionRefusal{R"("prompt": [18446744073709551615])", "prompt", "vocabulary ends at 511"},
        CompletionRefusal{R"("prompt": [1, 2, 3, 4, 5, 6])", "prompt", "the limit prompt_tok is 5"},
        CompletionRefusal{R"("prompt": ["a", "b", "c", "d"])", "prompt", "the limit prompts is 3"}));

TEST(ToSequences, StringsGetBosAndMayNameControlTokens) {
  const auto list = sequences(R"({"prompt": "a<eos>"})");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_THAT(list[0].prompt, ElementsAre(2, 256 + 'a', 1));
  EXPECT_EQ(list[0].id, "cmpl-1");
  EXPECT_EQ(list[0].owner, "1000");
}

TEST(ToSequences, IdsAreTakenAsTheyAre) {
  const auto list = sequences(R"({"prompt": [511, 0, 1]})");
  ASSERT_EQ(list.size(), 1u);
  EXPECT_THAT(list[0].prompt, ElementsAre(511, 0, 1));
}

TEST(ToSequences, SeveralPromptsAreNumbered) {
  const auto strings = sequences(R"({"prompt": ["a", ""], "max_tokens": 3})");
  ASSERT_EQ(strings.size(), 2u);
  EXPECT_EQ(strings[0].id, "cmpl-1-0");
  EXPECT_EQ(strings[1].id, "cmpl-1-1");
  EXPECT_THAT(strings[1].prompt, ElementsAre(2));
  EXPECT_EQ(strings[1].max_tokens, 3u);
  const auto ids = sequences(R"({"prompt": [[1, 2], [3]]})");
  ASSERT_EQ(ids.size(), 2u);
  EXPECT_THAT(ids[0].prompt, ElementsAre(1, 2));
  EXPECT_THAT(ids[1].prompt, ElementsAre(3));
}

TEST(ToSequences, SeveralAnswersAreSequencesWithSeedsOfTheirOwn) {
  const auto list = sequences(R"({"prompt": ["a", "b"], "n": 2, "seed": 7})");
  ASSERT_EQ(list.size(), 4u);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(list[i].id, "cmpl-1-" + std::to_string(i));
    EXPECT_EQ(list[i].prompt.back(), 256 + (i < 2 ? 'a' : 'b'));
    EXPECT_EQ(list[i].seed, 7 + i % 2);
  }
}

TEST(ToSequences, AGrammarThatIsNoneIsRefused) {
  try {
    sequences(R"({"prompt": "a", "grammar": "refuse"})");
    FAIL();
  } catch (const RequestError& error) {
    EXPECT_EQ(error.param(), "grammar");
  }
}

TEST(ToSequences, OneInAnArrayIsStillOne) {
  EXPECT_EQ(sequences(R"({"prompt": ["a"]})").at(0).id, "cmpl-1");
}

TEST(ToSequences, TokenLimitHoldsForTextToo) {
  EXPECT_NO_THROW(sequences(R"({"prompt": "abcd"})"));
  try {
    sequences(R"({"prompt": "abcde"})");
    FAIL();
  } catch (const RequestError& error) {
    EXPECT_EQ(error.param(), "prompt");
    EXPECT_THAT(error.what(), HasSubstr("has 6 tokens, the limit prompt_tok is 5"));
  }
}

}  // namespace
}  // namespace tandem::ipc
