#pragma once

#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "model/tokenizer.h"

namespace tandem::model {

/// How a token is chosen from logits.  Ranges are checked where values enter (the wire), not here.
struct SamplingParams {
  float temperature = 1.0f;  ///< 0 = greedy
  std::uint32_t top_k = 64;  ///< 0 = no limit
  float top_p = 0.95f;
  float min_p = 0.0f;
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  std::uint64_t seed = 0;
};

/// The sampling values a model file recommends (general.sampling.*), else 1.0, 64, 0.95.
SamplingParams recommended_sampling(const Header& header);

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
};

/// One sequence's sampler: its own random stream (a pure function of seed and step) and the tokens penalised
/// so far. The same logits and seed give the same token, whatever else the daemon does.
class Sampler {
 public:
  /// `prompt` counts for the repetition penalty; presence and frequency count generated tokens only.
  Sampler(const SamplingParams& params, std::span<const TokenId> prompt, std::span<const TokenId> suppressed);

  /// Chooses from `logits` (vocab) and remembers the choice.  `logits` is scratch: it is changed.
  /// Order: suppression, penalties, temperature, top_k, top_p, min_p.  Ties go to the smaller id.
  TokenId sample(std::span<float> logits);

 private:
  SamplingParams params_;
  std::vector<TokenId> suppressed_;
  std::vector<std::uint32_t> prompt_count_;     ///< (vocab), grown on demand
  std::vector<std::uint32_t> generated_count_;  ///< (vocab), grown on demand
  std::uint64_t step_ = 0;
};

/// log-softmax of `logits` (before temperature and truncation): that of `token`.
TokenLogprob logprob_of(std::span<const float> logits, TokenId token);

/// The `n` most probable tokens, most probable first, ties by smaller id.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, std::uint32_t n);

}  // namespace tandem::model
