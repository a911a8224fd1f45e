#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daemon/engine/engine.h"
#include "model/gbnf.h"
#include "model/grammar_masks.h"
#include "tests/daemon/engine/engine_test.h"

namespace tandem::engine {
namespace {

using testing::HasSubstr;

TEST_F(EngineTest, AGrammarHoldsAnswersWithoutDisturbingOthers) {
  const model::TokenTrie trie(*tokenizer_);
  const auto masks = std::make_shared<model::GrammarMasks>(
      std::make_shared<const model::Grammar>(model::read_gbnf("root ::= [a-c]{2,5} \"!\" | \"none\""),
                                             "root"),
      trie);
  std::vector<std::shared_ptr<RecordingSink>> held;
  for (int i = 0; i < 10; ++i) {
    EngineRequest request;
    request.prompt = make_prompt(3, i);
    request.max_new_tok = 30;
    request.sampling.top_k = 0;
    request.sampling.seed = static_cast<std::uint64_t>(i);
    request.constraint = Constraint{masks, model::ThoughtFirst::no, {}};
    held.push_back(submit(std::move(request)));
  }
  const auto free = submit(greedy(make_prompt(3, 1), 12));
  for (const auto& sink : held) {
    EXPECT_EQ(sink->wait_finished().reason, FinishReason::stop);
    EXPECT_THAT(sink->text(), testing::MatchesRegex("[abc]+!|none"));
  }
  free->wait_finished();
  EXPECT_EQ(free->tokens(), expected_tokens(make_prompt(3, 1), 12));
  expect_all_free();
}

/// Which of 64 pairs of letters came is another place for nearly every text, and hundreds of places take each
/// byte: what may come next takes long to find out, each time.
std::string slow_grammar() {
  std::string gbnf;
  for (int i = 0; i < 192; ++i) {
    const std::string pair = {static_cast<char>('a' + i % 8), static_cast<char>('a' + i / 8 % 8)};
    gbnf += (i == 0 ? "root ::= " : " | ") + ("[^.]* \"" + pair) + "\" [^.]* [.]";
  }
  return gbnf;
}

TEST_F(EngineTest, AGrammarThatTakesLongHoldsUpNobodyElse) {
  const model::TokenTrie trie(*tokenizer_);
  const auto grammar = std::make_shared<const model::Grammar>(model::read_gbnf(slow_grammar()), "root");
  std::vector<std::shared_ptr<model::GrammarMasks>> masks;
  while (masks.size() < 2) masks.push_back(std::make_shared<model::GrammarMasks>(grammar, trie));
  std::vector<std::shared_ptr<RecordingSink>> held;
  for (int i = 0; i < 2; ++i) {
    EngineRequest request;
    request.prompt = make_prompt(3, i);
    request.max_new_tok = 36;
    request.sampling.top_k = 0;
    request.logprobs = 1;
    request.constraint = Constraint{masks[static_cast<std::size_t>(i)], model::ThoughtFirst::no, {}};
    held.push_back(submit(std::move(request)));
  }
  const auto free = submit(greedy(make_prompt(3, 1), 40));
  free->wait_finished();
  for (const auto& sink : held) EXPECT_FALSE(sink->finished());
  EXPECT_EQ(free->tokens(), expected_tokens(make_prompt(3, 1), 40));
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(held[i]->wait_finished().reason, FinishReason::length);
    EXPECT_EQ(held[i]->text().find('.'), std::string::npos);
    auto history = make_prompt(3, i);
    for (const auto& score : held[i]->scores()) {
      const auto raw = history_logits(history, tokenizer_->size());
      EXPECT_FLOAT_EQ(score.logprob.value(), model::logprob_of(raw, score.token).logprob);
      history.push_back(score.token);
    }
  }
  expect_all_free();
}

TEST_F(EngineTest, WhatItsGrammarAllowsIsStillSoughtWhenARequestIsCancelled) {
  const model::TokenTrie trie(*tokenizer_);
  const auto masks = std::make_shared<model::GrammarMasks>(
      std::make_shared<const model::Grammar>(model::read_gbnf(slow_grammar()), "root"), trie);
  int cancelled = 0;  // the others were faster
  for (int i = 0; i < 20; ++i) {
    EngineRequest request;
    request.prompt = make_prompt(3, i);
    request.max_new_tok = 30;
    request.constraint = Constraint{masks, model::ThoughtFirst::no, {}};
    const auto sink = submit(std::move(request));
    sink->wait_tokens(static_cast<std::size_t>(i % 3));
    const bool is_cancelled = engine_.cancel(last_id_);
    EXPECT_EQ(sink->wait_finished().reason == FinishReason::cancelled, is_cancelled);
    cancelled += is_cancelled ? 1 : 0;
  }
  EXPECT_GT(cancelled, 0);
  expect_all_free();
}

/// That what is allowed cannot be found out is known before anything is computed.
TEST_F(EngineTest, AGrammarThatDoesNotBeginAsItsAnswerEndsTheRequestBeforeItsPrompt) {
  const model::TokenTrie trie(*tokenizer_);
  const auto masks = std::make_shared<model::GrammarMasks>(
      std::make_shared<const model::Grammar>(model::read_gbnf("root ::= [a-c]*"), "root"), trie);
  auto request = greedy(make_prompt(40, 1), 5);
  request.constraint = Constraint{masks, model::ThoughtFirst::no, "ad"};
  const auto sink = submit(std::move(request));
  const auto finished = sink->wait_finished();
  EXPECT_EQ(finished.reason, FinishReason::error);
  EXPECT_THAT(finished.error, HasSubstr("does not begin"));
  expect_all_free();
  EXPECT_EQ(executor_.begun(), 0U);
}

/// Where nothing is to be said, nothing has to be allowed.
TEST_F(EngineTest, ARequestForNoTokensIsNotHeldByItsGrammar) {
  const model::TokenTrie trie(*tokenizer_);
  const auto masks = std::make_shared<model::GrammarMasks>(
      std::make_shared<const model::Grammar>(model::read_gbnf("root ::= [a-c]*"), "root"), trie);
  auto request = greedy(make_prompt(40, 1), 0);
  request.constraint = Constraint{masks, model::ThoughtFirst::no, {}};
  EXPECT_EQ(submit(std::move(request))->wait_finished().reason, FinishReason::length);
  expect_all_free();
}

}  // namespace
}  // namespace tandem::engine
