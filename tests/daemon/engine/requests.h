#pragma once

#include <cstddef>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/engine/request.h"
#include "model/tokenizer.h"
#include "tests/daemon/engine/served_model.h"

namespace tandem::engine {

/// Tokens that every reference model has.
inline std::vector<model::TokenId> random_tokens(std::mt19937& random, std::size_t n) {
  std::vector<model::TokenId> tokens(n);
  for (auto& token : tokens) token = static_cast<model::TokenId>(5 + random() % 250);
  return tokens;
}

/// Log-probabilities of the prompt's tokens and nothing more.
inline EngineRequest scored(std::vector<model::TokenId> prompt) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.max_new_tok = 0;
  request.echo = true;
  request.logprobs = 1;
  return request;
}

/// The likeliest continuation.
inline EngineRequest greedy(std::vector<model::TokenId> prompt, std::size_t max_new_tok) {
  EngineRequest request;
  request.prompt = std::move(prompt);
  request.max_new_tok = max_new_tok;
  request.sampling.temperature = 0;
  return request;
}

/// Log-probabilities of all given tokens after the first, of several sequences at once.
inline std::vector<float> scores_of(Served& served, const std::vector<std::vector<model::TokenId>>& prompts) {
  std::vector<std::shared_ptr<RecordingSink>> sinks;
  for (const auto& prompt : prompts) sinks.push_back(served.submit(scored(prompt)));
  std::vector<float> scores;
  for (const auto& sink : sinks) {
    EXPECT_EQ(sink->wait_finished().reason, FinishReason::length);
    for (std::size_t i = 1; i < sink->scores().size(); ++i) {
      scores.push_back(static_cast<float>(sink->scores()[i].logprob.value()));
    }
  }
  return scores;
}

}  // namespace tandem::engine
