#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "model/gguf.h"
#include "model/vocabulary.h"

namespace tandem::model {

/// How a token is chosen from logits.  Ranges are checked where values enter (the wire), not here.
struct SamplingParams {
  float temperature = 1.0f;         ///< 0 = greedy
  std::uint32_t top_k = 64;         ///< keep the k most probable; 0 = all
  float top_p = 0.95f;              ///< keep the fewest most probable that together reach p; 1 = all
  float min_p = 0.0f;               ///< keep those at least min_p times as probable as the most probable
  float repetition_penalty = 1.0f;  ///< divides positive logits of tokens seen, multiplies negative ones
  float presence_penalty = 0.0f;    ///< subtracted once for tokens generated before
  float frequency_penalty = 0.0f;   ///< subtracted for every time a token was generated
  std::uint64_t seed = 0;
  /// Added to logits, no token twice; tokens that no logit belongs to are ignored.
  std::vector<std::pair<TokenId, float>> logit_bias = {};
};

/// The sampling values a model file recommends (general.sampling.*), else 1.0, 64, 0.95.  Values outside
/// their range count as absent.
SamplingParams recommended_sampling(const Header& header);

struct TokenLogit {
  TokenId token;
  float logit;
};

/// What a sampler does to a token's logit before it chooses: `added` to it, then divided by `penalty` if
/// positive, else multiplied with it, then less `subtracted`; or forbidden.
struct LogitEdit {
  TokenId token = 0;
  float added = 0.0f;
  float penalty = 1.0f;
  float subtracted = 0.0f;
  bool forbidden = false;
};

/// The best tokens are listed where a choice takes so many or fewer; from more it is made without a list.
inline constexpr std::size_t kMostListed = 256;

/// One sequence's sampler: its own random stream (a pure function of seed and step) and the tokens penalised
/// so far. The same logits and seed give the same token, whatever else the daemon does.
class Sampler {
 public:
  /// `prompt` counts for the repetition penalty; presence and frequency count generated tokens only.
  /// Suppressed tokens and those of the prompt that no logit belongs to are ignored.  After the first choice
  /// nothing is allocated until `new_tok` different tokens were chosen.
  Sampler(const SamplingParams& params, std::span<const TokenId> prompt, std::span<const TokenId> suppressed,
          std::size_t new_tok = 0);

  /// Chooses from `logits` (vocab, not empty) and remembers the choice.  `logits` is scratch: it is changed.
  /// Order: biases, penalties, suppression, temperature, top_k, top_p (of what top_k left), min_p.  Ties go
  /// to the smaller id.  A logit that is not a number counts as -inf; if every logit is -inf, the choice is
  /// the smallest id that is not suppressed.
  TokenId sample(std::span<float> logits);
  /// Of the token that `sample` chose last, before biases and penalties.
  [[nodiscard]] float chosen_logit() const noexcept { return chosen_logit_; }

  /// How many of the best of `vocab` logits `sample_best` wants; 0 = it takes all logits to choose.
  [[nodiscard]] std::size_t wanted(std::size_t vocab) const noexcept;
  /// As many as there may be.
  [[nodiscard]] std::size_t most_edits() const noexcept {
    return biases_.size() + seen_.size() + suppressed_.size();
  }
  /// Makes `edits` what is done to the logits of tokens below `vocab` first, by token, each at most once.
  void edits(std::size_t vocab, std::vector<LogitEdit>& edits) const;
  /// What `sample` chooses, from the `wanted` best of the edited logits, best first (all there are, if they
  /// are fewer) without NaN.
  TokenId sample_best(std::span<const TokenLogit> best, std::size_t vocab);

 private:
  /// What is added to a token's logit, and what that was in the last row.
  struct Bias {
    TokenId token = 0;
    float added = 0.0F;
    float found = 0.0F;
  };
  /// A token seen, how often it was generated (0: it is in the prompt only) and its logit likewise.
  struct Seen {
    TokenId token = 0;
    std::uint32_t times = 0;
    float found = 0.0F;
  };

  [[nodiscard]] bool penalises() const noexcept;
  [[nodiscard]] float subtracted(std::uint32_t times) const noexcept;  ///< from a token seen so often
  void adjust(std::span<float> logits) noexcept;
  [[nodiscard]] float found_at(std::span<const float> logits, TokenId token) const noexcept;
  void remember(TokenId token);
  [[nodiscard]] TokenId first_allowed(std::size_t vocab) const noexcept;

  SamplingParams params_;
  std::vector<TokenId> suppressed_;  ///< ascending
  std::vector<Bias> biases_;         ///< by token
  std::vector<Seen> seen_;           ///< by token; empty where nothing is penalised
  std::vector<TokenLogit> best_;     ///< of a row, where it is chosen from kMostListed or fewer
  float chosen_logit_ = 0.0F;
  std::uint64_t step_ = 0;
};

struct TokenLogprob {
  TokenId token = 0;
  float logprob = 0.0f;
};

/// log of the sum of exp(logits): what log-softmax (before temperature and truncation) takes from each logit.
double log_sum_exp(std::span<const float> logits) noexcept;
float logprob_of(float logit, double log_sum) noexcept;
/// The same of one token of a row.
TokenLogprob logprob_of(std::span<const float> logits, TokenId token);

/// The `n` most probable tokens, most probable first, ties by smaller id.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, std::uint32_t n);
/// The same in `top`, of logits whose `log_sum` is known; `best` is scratch.  Nothing is allocated if they
/// have room for n and n + 1.
void find_top_logprobs(std::span<const float> logits, double log_sum, std::uint32_t n,
                       std::vector<TokenLogit>& best, std::vector<TokenLogprob>& top);

}  // namespace tandem::model
