#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/engine/engine.h"
#include "tests/daemon/engine/engine_test.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using namespace std::chrono_literals;
using testing::HasSubstr;

// The file of these tests lists tokens never to be chosen, 17 and 18.
TEST_F(EngineTest, SeveralAtOnceEachGetTheirOwnContinuation) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 10; ++i) sinks.push_back(submit(greedy(make_prompt(1 + 5 * i, i), 12)));
  for (int i = 0; i < 10; ++i) {
    const auto finished = sinks[i]->wait_finished();
    const auto expected = expected_tokens(make_prompt(1 + 5 * i, i), 12);
    EXPECT_EQ(sinks[i]->tokens(), expected) << i;
    EXPECT_EQ(sinks[i]->text(), text_of(expected)) << i;
    const bool ended = tokenizer_->ends_generation(expected.back());
    EXPECT_EQ(finished.reason, ended ? FinishReason::stop : FinishReason::length) << i;
    EXPECT_EQ(finished.usage.prompt_tok, 1U + 5 * i);
    EXPECT_EQ(finished.usage.completion_tok, expected.size());
  }
  expect_all_free();
}

TEST_F(EngineTest, ABiasedTokenComesAllTheTime) {
  auto request = greedy(make_prompt(5, 1), 6);
  request.sampling.logit_bias = {{40, 50.0F}};
  const auto sink = submit(std::move(request));
  sink->wait_finished();
  EXPECT_EQ(sink->tokens(), Tokens(6, 40));
}

TEST_F(EngineTest, AStopStringIsNamed) {
  auto request = greedy(make_prompt(5, 1), 60);
  request.sampling.logit_bias = {{*tokenizer_->find("a"), 50.0F}};
  request.stop = {"zz", "aa"};
  const auto sink = submit(std::move(request));
  const auto finished = sink->wait_finished();
  EXPECT_EQ(finished.reason, FinishReason::stop);
  EXPECT_EQ(finished.stop_string, "aa");
  EXPECT_EQ(sink->text(), "");
}

TEST_F(EngineTest, ProgressGrowsToTheWholePrompt) {
  const auto sink = submit(greedy(make_prompt(40, 1), 1));
  sink->wait_finished();
  ASSERT_GE(sink->progress().size(), 2U);
  EXPECT_TRUE(std::ranges::is_sorted(sink->progress()));
  EXPECT_EQ(sink->progress().back(), (std::pair<std::uint64_t, std::uint64_t>(40, 40)));
}

TEST_F(EngineTest, AFullContextEndsWithLength) {
  const auto prompt = make_prompt(60, 3);
  const auto expected = expected_tokens(prompt, 1000);
  ASSERT_FALSE(tokenizer_->ends_generation(expected.back()));
  ASSERT_EQ(expected.size(), 5U);  // 4 more rows fit; the last token needs none
  const auto sink = submit(greedy(prompt, 1000));
  EXPECT_EQ(sink->wait_finished().reason, FinishReason::length);
  EXPECT_EQ(sink->tokens(), expected);
}

TEST_F(EngineTest, TheSameSeedGivesTheSameTextInAnyCompany) {
  const auto sampled = [](int seed) {
    auto request = greedy(make_prompt(9, 4), 20);
    request.sampling.temperature = 1.0F;
    request.sampling.seed = static_cast<std::uint64_t>(seed);
    return request;
  };
  const auto alone = submit(sampled(7));
  alone->wait_finished();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 9; ++i) sinks.push_back(submit(i % 3 == 1 ? sampled(7) : sampled(100 + i)));
  int others_that_differ = 0;
  for (int i = 0; i < 9; ++i) {
    sinks[i]->wait_finished();
    if (i % 3 == 1) {
      EXPECT_EQ(sinks[i]->tokens(), alone->tokens());
    } else if (sinks[i]->tokens() != alone->tokens()) {
      ++others_that_differ;
    }
  }
  EXPECT_EQ(others_that_differ, 6);
}

TEST_F(EngineTest, CancelTakesEffectWithinOneStepInEveryPhase) {
  executor_.hold();
  std::vector<std::shared_ptr<RecordingSink>> prompts;
  for (int i = 0; i < 3; ++i) prompts.push_back(submit(greedy(make_prompt(50, i), 8)));
  const auto first_id = last_id_ - 2;
  const auto queued = submit(greedy(make_prompt(50, 9), 8));
  executor_.wait_begun(1);

  EXPECT_TRUE(engine_.cancel(last_id_));
  EXPECT_TRUE(engine_.cancel(first_id));
  EXPECT_FALSE(engine_.cancel(first_id)) << "a second time";
  EXPECT_FALSE(engine_.cancel(999));
  executor_.permit(1);
  EXPECT_EQ(queued->wait_finished().reason, FinishReason::cancelled);
  EXPECT_EQ(prompts[0]->wait_finished().reason, FinishReason::cancelled);
  EXPECT_TRUE(prompts[0]->tokens().empty());
  executor_.wait_begun(2);
  EXPECT_EQ(engine_.stats().running, 2U);
  EXPECT_EQ(engine_.cancel(first_id + 1), true);
  EXPECT_EQ(engine_.cancel(first_id + 2), true);
  executor_.release();
  expect_all_free();

  executor_.hold();
  const auto begun = executor_.begun();
  const auto decoding = submit(greedy(make_prompt(4, 11), 40));
  executor_.permit(3);
  executor_.wait_begun(begun + 4);
  EXPECT_EQ(engine_.requests().front().state, scheduler::State::decode);
  EXPECT_TRUE(engine_.cancel(last_id_));
  executor_.release();
  EXPECT_EQ(decoding->wait_finished().reason, FinishReason::cancelled);
  EXPECT_EQ(decoding->tokens().size(), 3U);
  expect_all_free();
  EXPECT_EQ(executor_.begun(), begun + 4);
}

TEST_F(EngineTest, AReaderThatLagsPausesItsOwnSequenceOnly) {
  const auto slow = std::make_shared<RecordingSink>(2);
  const auto prompt = make_prompt(6, 5);
  const auto expected = expected_tokens(prompt, 7);
  ASSERT_EQ(expected.size(), 7U);
  const auto slow_id = engine_.submit(greedy(prompt, 7), slow);
  slow->wait_tokens(2);
  submit(greedy(make_prompt(10, 6), 20))->wait_finished();
  ASSERT_EQ(engine_.requests().size(), 1U);
  EXPECT_EQ(engine_.requests().front().state, scheduler::State::paused);
  EXPECT_EQ(engine_.requests().front().completion_tok, 2U);

  for (std::size_t read = 2; read < 7; read += 2) {
    slow->read(2);
    engine_.resume(slow_id);
    slow->wait_tokens(std::min<std::size_t>(read + 2, 7));
  }
  EXPECT_EQ(slow->wait_finished().reason, FinishReason::length);
  EXPECT_EQ(slow->tokens(), expected);
  expect_all_free();
}

TEST_F(EngineTest, APausedSequenceCanBeCancelled) {
  const auto slow = std::make_shared<RecordingSink>(1);
  const auto id = engine_.submit(greedy(make_prompt(6, 5), 30), slow);
  slow->wait_tokens(1);
  EXPECT_TRUE(engine_.cancel(id));
  EXPECT_EQ(slow->wait_finished().reason, FinishReason::cancelled);
  expect_all_free();
}

TEST_F(EngineTest, AStopStringEndsTheTextBeforeIt) {
  const auto prompt = make_prompt(8, 12);
  const auto expected = expected_tokens(prompt, 30);
  const auto text = text_of(expected);
  ASSERT_GT(text.size(), 12U);
  auto request = greedy(prompt, 30);
  request.stop = {"never in it", text.substr(6, 4)};
  const auto cut = text.find(request.stop[1]);
  const auto sink = submit(std::move(request));
  EXPECT_EQ(sink->wait_finished().reason, FinishReason::stop);
  EXPECT_EQ(sink->text(), text.substr(0, cut));
  EXPECT_LT(sink->tokens().size(), expected.size());
}

/// Log-probability of `token`, in double precision.
double logprob(std::span<const float> logits, TokenId token) {
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  return static_cast<double>(logits[static_cast<std::size_t>(token)]) - std::log(sum);
}

TEST_F(EngineTest, ScoresAreThoseOfTheRawDistribution) {
  auto request = greedy(make_prompt(5, 2), 6);
  request.sampling.temperature = 0.3F;
  request.sampling.top_k = 2;
  request.sampling.repetition_penalty = 1.8F;
  request.logprobs = 4;
  const auto sink = submit(request);
  sink->wait_finished();
  ASSERT_EQ(sink->scores().size(), sink->tokens().size());
  auto history = request.prompt;
  for (std::size_t i = 0; i < sink->tokens().size(); ++i) {
    const auto logits = history_logits(history, tokenizer_->size());
    const auto& score = sink->scores()[i];
    EXPECT_EQ(score.token, sink->tokens()[i]);
    EXPECT_NEAR(score.logprob.value(), logprob(logits, score.token), 1e-5);
    ASSERT_EQ(score.top.size(), 4U);
    EXPECT_EQ(score.top[0].token, std::ranges::max_element(logits) - logits.begin());
    EXPECT_NEAR(score.top[3].logprob, logprob(logits, score.top[3].token), 1e-5);
    history.push_back(sink->tokens()[i]);
  }
}

TEST_F(EngineTest, EchoScoresEveryPromptTokenButTheFirst) {
  const auto prompt = make_prompt(30, 8);
  auto request = greedy(prompt, 2);
  request.echo = true;
  request.logprobs = 1;
  submit(greedy(make_prompt(33, 1), 30));
  const auto sink = submit(request);
  sink->wait_finished();
  auto expected = prompt;
  const auto generated = expected_tokens(prompt, 2);
  expected.insert(expected.end(), generated.begin(), generated.end());
  EXPECT_EQ(sink->tokens(), expected);
  EXPECT_EQ(sink->text(), text_of(expected));
  ASSERT_EQ(sink->scores().size(), expected.size());
  EXPECT_FALSE(sink->scores()[0].logprob.has_value());
  for (std::size_t i = 1; i < expected.size(); ++i) {
    const auto logits = history_logits(std::span(expected).first(i), tokenizer_->size());
    EXPECT_EQ(sink->scores()[i].token, expected[i]);
    EXPECT_NEAR(sink->scores()[i].logprob.value(), logprob(logits, expected[i]), 1e-5) << i;
  }
}

TEST_F(EngineTest, NothingNewAskedForOnlyRunsThePrompt) {
  auto request = greedy(make_prompt(30, 8), 0);
  const auto silent = submit(request);
  EXPECT_EQ(silent->wait_finished().reason, FinishReason::length);
  EXPECT_TRUE(silent->tokens().empty());
  request.echo = true;
  const auto echoed = submit(request);
  EXPECT_EQ(echoed->wait_finished().usage.completion_tok, 0U);
  EXPECT_EQ(echoed->tokens(), request.prompt);
  EXPECT_TRUE(echoed->scores().empty());
  expect_all_free();
}

TEST_F(EngineTest, RefusalsSayWhyAndChangeNothing) {
  const auto reason_of = [&](EngineRequest request) {
    try {
      submit(std::move(request));
    } catch (const RequestRefused& refused) {
      return std::optional(refused.reason());
    }
    return std::optional<RequestRefused::Reason>();
  };
  using Reason = RequestRefused::Reason;
  EXPECT_EQ(reason_of(greedy({}, 4)), Reason::prompt_empty);
  EXPECT_EQ(reason_of(greedy(make_prompt(65, 1), 4)), Reason::prompt_too_long);
  EXPECT_EQ(reason_of(greedy({5, -1}, 4)), Reason::token_out_of_range);
  EXPECT_EQ(reason_of(greedy({static_cast<TokenId>(tokenizer_->size())}, 4)), Reason::token_out_of_range);
  EXPECT_EQ(engine_.stats().submitted, 0U);
  EXPECT_EQ(reason_of(greedy(make_prompt(64, 1), 4)), std::nullopt);
  ASSERT_TRUE(engine_.wait_idle(60s));

  executor_.hold();
  while (engine_.stats().queued < kLimits.max_queued) submit(greedy(make_prompt(2, 1), 1));
  EXPECT_EQ(reason_of(greedy(make_prompt(2, 1), 1)), Reason::queue_full);
  executor_.release();
  expect_all_free();
  engine_.drain();
  EXPECT_EQ(reason_of(greedy(make_prompt(2, 1), 1)), Reason::draining);
}

TEST_F(EngineTest, AFailedStepEndsItsRequestsAndNoOthers) {
  executor_.hold();
  const auto hit = submit(greedy(make_prompt(16, 1), 5));
  executor_.wait_begun(1);
  executor_.fail_next();
  const auto spared = submit(greedy(make_prompt(4, 2), 5));
  executor_.release();
  const auto finished = hit->wait_finished();
  EXPECT_EQ(finished.reason, FinishReason::error);
  EXPECT_THAT(finished.error, HasSubstr("planted failure"));
  spared->wait_finished();
  EXPECT_EQ(spared->tokens(), expected_tokens(make_prompt(4, 2), 5));
  expect_all_free();
}

TEST_F(EngineTest, LogitsThatAreNotNumbersEndTheRequest) {
  executor_.hold();
  const auto hit = submit(greedy(make_prompt(4, 1), 5));
  executor_.wait_begun(1);
  executor_.poison_next();
  executor_.release();
  const auto finished = hit->wait_finished();
  EXPECT_EQ(finished.reason, FinishReason::error);
  EXPECT_THAT(finished.error, HasSubstr("not a number"));
  const auto next = submit(greedy(make_prompt(4, 1), 5));
  EXPECT_NE(next->wait_finished().reason, FinishReason::error);
  expect_all_free();
}

TEST_F(EngineTest, EmbeddingRowsBeyondTheVocabularyAreNoTokens) {
  constexpr std::uint32_t kSurplus = 3000;  // so many that the best logit is nearly always theirs
  HistoryExecutor executor(tokenizer_->size() + kSurplus, kLimits.page_tok);
  Engine engine(executor, *tokenizer_, kLimits);
  auto request = greedy(make_prompt(3, 1), 30);
  request.logprobs = 5;
  const auto sink = std::make_shared<RecordingSink>();
  engine.submit(request, sink);
  sink->wait_finished();
  for (const auto& score : sink->scores()) {
    EXPECT_LT(score.token, static_cast<TokenId>(tokenizer_->size()));
    for (const auto& top : score.top) EXPECT_LT(top.token, static_cast<TokenId>(tokenizer_->size()));
  }
  request.prompt.push_back(static_cast<TokenId>(tokenizer_->size()));
  EXPECT_THROW(engine.submit(request, sink), RequestRefused);
}

TEST_F(EngineTest, ObserversSeeNamesStatesAndCounts) {
  executor_.hold();
  auto request = greedy(make_prompt(20, 1), 5);
  request.name = "cmpl-1";
  request.owner = "1000";
  submit(request);
  const auto id = last_id_;
  executor_.permit(1);
  executor_.wait_begun(2);
  EXPECT_EQ(engine_.find("cmpl-1"), id);
  EXPECT_EQ(engine_.find("cmpl-2"), std::nullopt);
  const auto views = engine_.requests();
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views[0].name, "cmpl-1");
  EXPECT_EQ(views[0].owner, "1000");
  EXPECT_EQ(views[0].state, scheduler::State::prompt);
  EXPECT_EQ(views[0].prompt_tok, 20U);
  EXPECT_GT(views[0].prompt_done_tok, 0U);
  EXPECT_EQ(views[0].max_new_tok, 5U);
  executor_.release();
  ASSERT_TRUE(engine_.wait_idle(60s));
  EXPECT_EQ(engine_.find("cmpl-1"), std::nullopt);
  const auto stats = engine_.stats();
  EXPECT_EQ(stats.prompt_tok, 20U);
  EXPECT_EQ(stats.generated_tok, 5U);
  EXPECT_EQ(stats.decode_steps, 4U);
  EXPECT_EQ(stats.decode_bytes.weights, 4000U);
  EXPECT_EQ(stats.prompt_bytes.kv + stats.decode_bytes.kv, 24U);  // the executor above counts a byte a row
}

TEST_F(EngineTest, ShutdownEndsEverythingAsCancelled) {
  executor_.hold();
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (int i = 0; i < 6; ++i) sinks.push_back(submit(greedy(make_prompt(30, i), 20)));
  executor_.wait_begun(1);
  executor_.permit(1);
  executor_.wait_begun(2);
  std::thread closer([&] { engine_.shutdown(); });
  while (!engine_.requests().empty()) std::this_thread::yield();
  executor_.release();
  closer.join();
  for (const auto& sink : sinks) EXPECT_EQ(sink->wait_finished().reason, FinishReason::cancelled);
  EXPECT_EQ(executor_.begun(), 2U);
  expect_all_free();
}

}  // namespace
}  // namespace tandem::engine
