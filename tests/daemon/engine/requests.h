#pragma once

#include <cstddef>
#include <random>
#include <utility>
#include <vector>

#include "daemon/engine/request.h"
#include "model/tokenizer.h"

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

}  // namespace tandem::engine
