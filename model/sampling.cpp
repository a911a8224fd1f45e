#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "model/token_cut.h"

namespace tandem::model {
namespace {

constexpr float kImpossible = -std::numeric_limits<float>::infinity();

bool better(const TokenLogit& a, const TokenLogit& b) noexcept {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

bool has_token(std::span<const float> logits, TokenId token) noexcept {
  return token >= 0 && static_cast<std::size_t>(token) < logits.size();
}

/// Written so that compilers vectorise it.
bool any_above(std::span<const float> logits, float limit) noexcept {
  unsigned found = 0;
  for (const float logit : logits) found |= static_cast<unsigned>(logit > limit);
  return found != 0;
}

/// Makes `heap` the `count` largest logits, best first; fewer if there are fewer numbers.
void find_top(std::span<const float> logits, std::size_t count, std::vector<TokenLogit>& heap) {
  constexpr std::size_t kBlock = 64;
  heap.clear();  // the worst of those kept is at the front
  heap.reserve(std::min(count, logits.size()) + 1);
  for (std::size_t begin = 0; begin < logits.size() && count > 0; begin += kBlock) {
    const auto block = logits.subspan(begin, std::min(kBlock, logits.size() - begin));
    if (heap.size() == count && !any_above(block, heap.front().logit)) continue;
    for (std::size_t i = 0; i < block.size(); ++i) {
      if (std::isnan(block[i]) || (heap.size() == count && !(block[i] > heap.front().logit))) continue;
      heap.push_back({static_cast<TokenId>(begin + i), block[i]});
      std::ranges::push_heap(heap, better);
      if (heap.size() <= count) continue;
      std::ranges::pop_heap(heap, better);
      heap.pop_back();
    }
  }
  std::ranges::sort_heap(heap, better);
}

double weight_of_all(std::span<const float> logits, float best, double temperature) noexcept {
  double sum = 0.0;
  for (const float logit : logits) sum += weight_of(logit, best, temperature);
  return sum;
}

/// The fewest of `tokens`, best first, that weigh at least `part` of all.
std::span<const TokenLogit> nucleus(std::span<const TokenLogit> tokens, double temperature, double part) {
  const float best = tokens.front().logit;
  double mass = 0.0;
  for (const auto& token : tokens) mass += weight_of(token.logit, best, temperature);
  double reached = 0.0;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    reached += weight_of(tokens[i].logit, best, temperature);
    if (reached >= part * mass) return tokens.first(i + 1);
  }
  return tokens;
}

/// Applies top_p and min_p to `tokens`, best first, and takes the one at `point` (0 to 1, 1 excluded) of the
/// distribution over what is left.
TokenId draw_from_best(std::span<const TokenLogit> tokens, const SamplingParams& params, double point) {
  const double temperature = params.temperature;
  const float best = tokens.front().logit;
  if (params.top_p < 1.0F) tokens = nucleus(tokens, temperature, params.top_p);
  const auto weigh = [&](const TokenLogit& token) { return weight_of(token.logit, best, temperature); };
  while (weigh(tokens.back()) < params.min_p) tokens = tokens.first(tokens.size() - 1);
  double mass = 0.0;
  for (const auto& token : tokens) mass += weigh(token);
  const double wanted = point * mass;
  mass = 0.0;
  for (const auto& token : tokens) {
    mass += weigh(token);
    if (mass > wanted) return token.token;
  }
  return tokens.back().token;
}

/// Applies top_k, top_p and min_p and draws, by id and without a list of tokens; `best` is the largest logit,
/// a number above -inf.
TokenId draw_from_all(std::span<const float> logits, float best, const SamplingParams& params, double point) {
  const double temperature = params.temperature;
  TokenCut cut;
  if (params.top_k > 0 && params.top_k < logits.size()) cut = cut_of_best(logits, params.top_k);
  if (params.top_p < 1.0F) cut = cut_of_mass(logits, cut, best, temperature, params.top_p);
  constexpr double kSlack = 1e-3;  // more than rounding makes of the next line
  const double least = double{best} + temperature * (std::log(double{params.min_p}) - kSlack);
  double mass = 0.0;
  const auto add = [&](float logit) {
    if (double{logit} < least) return;
    const double weight = weight_of(logit, best, temperature);
    if (weight >= params.min_p) mass += weight;
  };
  for_each_within(cut, logits, [&](std::size_t, float logit) {
    add(logit);
    return true;
  });
  const double wanted = point * mass;
  mass = 0.0;
  std::size_t drawn = 0;
  for_each_within(cut, logits, [&](std::size_t id, float logit) {
    add(logit);
    drawn = id;
    return mass <= wanted;
  });
  return static_cast<TokenId>(drawn);
}

/// A mixing function of 64-bit words (the finalizer of SplitMix64: Steele, Lea and Flood, "Fast splittable
/// pseudorandom number generators", 2014).
std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// Uniform in [0, 1), a pure function of both.
double uniform(std::uint64_t seed, std::uint64_t step) noexcept {
  constexpr std::uint64_t kGolden = 0x9E3779B97F4A7C15ULL;
  const auto word = mix(mix(seed + kGolden) + (step + 1) * kGolden);
  return static_cast<double>(word >> 11) * 0x1p-53;
}

double number_in(const Header& header, std::string_view key, double min, double max, double fallback) {
  const double value = header.find_number(key).value_or(fallback);
  return value >= min && value <= max ? value : fallback;
}

}  // namespace

SamplingParams recommended_sampling(const Header& header) {
  SamplingParams params;
  params.temperature =
      static_cast<float>(number_in(header, "general.sampling.temp", 0.0, 100.0, params.temperature));
  params.top_k =
      static_cast<std::uint32_t>(number_in(header, "general.sampling.top_k", 0.0, 1e6, params.top_k));
  params.top_p = static_cast<float>(number_in(header, "general.sampling.top_p", 0.0, 1.0, params.top_p));
  params.min_p = static_cast<float>(number_in(header, "general.sampling.min_p", 0.0, 1.0, params.min_p));
  params.repetition_penalty = static_cast<float>(
      number_in(header, "general.sampling.penalty_repeat", 0.01, 100.0, params.repetition_penalty));
  return params;
}

Sampler::Sampler(const SamplingParams& params, std::span<const TokenId> prompt,
                 std::span<const TokenId> suppressed, std::size_t new_tok)
    : params_(params), suppressed_(suppressed.begin(), suppressed.end()) {
  std::ranges::sort(suppressed_);
  for (const auto& [token, bias] : std::exchange(params_.logit_bias, {})) biases_.push_back({token, bias});
  std::ranges::sort(biases_, {}, &Bias::token);
  best_.reserve(std::clamp<std::size_t>(params_.top_k, 1, kMostListed) + 1);
  if (!penalises()) return;
  if (params_.repetition_penalty != 1.0F) {
    for (const auto token : prompt) seen_.push_back({token});
    std::ranges::sort(seen_, {}, &Seen::token);
    const auto again = std::ranges::unique(seen_, {}, &Seen::token);
    seen_.erase(again.begin(), again.end());
  }
  seen_.reserve(seen_.size() + new_tok);
}

TokenId Sampler::sample(std::span<float> logits) {
  const double point = uniform(params_.seed, step_++);
  adjust(logits);
  find_top(logits, 1, best_);
  TokenId token = 0;
  if (best_.empty() || best_[0].logit == kImpossible) {
    token = first_allowed(logits.size());
  } else if (wanted(logits.size()) == 1) {
    token = best_[0].token;
  } else if (params_.top_k > 0 && params_.top_k < logits.size() && params_.top_k <= kMostListed) {
    find_top(logits, params_.top_k, best_);
    token = draw_from_best(best_, params_, point);
  } else {
    token = draw_from_all(logits, best_[0].logit, params_, point);
  }
  chosen_logit_ = found_at(logits, token);
  remember(token);
  return token;
}

std::size_t Sampler::wanted(std::size_t vocab) const noexcept {
  if (!(params_.temperature > 0.0F) || params_.top_k == 1) return 1;
  return params_.top_k < vocab ? params_.top_k : 0;
}

void Sampler::edits(std::size_t vocab, std::vector<LogitEdit>& edits) const {
  edits.clear();
  const auto add = [&](const LogitEdit& edit) {
    if (edit.token >= 0 && static_cast<std::size_t>(edit.token) < vocab) edits.push_back(edit);
  };
  for (const auto& bias : biases_) add({.token = bias.token, .added = bias.added});
  for (const auto& seen : seen_) {
    add({.token = seen.token, .penalty = params_.repetition_penalty, .subtracted = subtracted(seen.times)});
  }
  for (const auto token : suppressed_) add({.token = token, .forbidden = true});
  std::ranges::sort(edits, {}, &LogitEdit::token);
  const auto joined = [](const LogitEdit& a, const LogitEdit& b) {
    return LogitEdit{a.token, a.added + b.added, a.penalty * b.penalty, a.subtracted + b.subtracted,
                     a.forbidden || b.forbidden};
  };
  std::size_t n = 0;
  for (const auto& edit : edits) {
    if (n > 0 && edits[n - 1].token == edit.token) {
      edits[n - 1] = joined(edits[n - 1], edit);
    } else {
      edits[n++] = edit;
    }
  }
  edits.resize(n);
}

TokenId Sampler::sample_best(std::span<const TokenLogit> best, std::size_t vocab) {
  const double point = uniform(params_.seed, step_++);
  const std::size_t n = std::min(best.size(), wanted(vocab));
  TokenId token = 0;
  if (n == 0 || best[0].logit == kImpossible) {
    token = first_allowed(vocab);
  } else if (n == 1) {
    token = best[0].token;
  } else {
    token = draw_from_best(best.first(n), params_, point);
  }
  remember(token);
  return token;
}

void Sampler::adjust(std::span<float> logits) noexcept {
  for (auto& bias : biases_) {
    if (!has_token(logits, bias.token)) continue;
    auto& logit = logits[static_cast<std::size_t>(bias.token)];
    bias.found = logit;
    logit += bias.added;
  }
  for (auto& seen : seen_) {
    if (!has_token(logits, seen.token)) continue;
    auto& logit = logits[static_cast<std::size_t>(seen.token)];
    seen.found = logit;
    logit = logit > 0.0F ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    logit -= subtracted(seen.times);
  }
  for (const auto token : suppressed_) {
    if (has_token(logits, token)) logits[static_cast<std::size_t>(token)] = kImpossible;
  }
}

/// What was there before `adjust`.
float Sampler::found_at(std::span<const float> logits, TokenId token) const noexcept {
  const auto bias = std::ranges::lower_bound(biases_, token, {}, &Bias::token);
  if (bias != biases_.end() && bias->token == token) return bias->found;
  const auto seen = std::ranges::lower_bound(seen_, token, {}, &Seen::token);
  if (seen != seen_.end() && seen->token == token) return seen->found;
  return logits[static_cast<std::size_t>(token)];
}

void Sampler::remember(TokenId token) {
  if (!penalises()) return;
  auto seen = std::ranges::lower_bound(seen_, token, {}, &Seen::token);
  if (seen == seen_.end() || seen->token != token) seen = seen_.insert(seen, {token});
  ++seen->times;
}

bool Sampler::penalises() const noexcept {
  return params_.repetition_penalty != 1.0F || params_.presence_penalty != 0.0F ||
         params_.frequency_penalty != 0.0F;
}

float Sampler::subtracted(std::uint32_t times) const noexcept {
  return times > 0 ? params_.presence_penalty + static_cast<float>(times) * params_.frequency_penalty : 0.0F;
}

TokenId Sampler::first_allowed(std::size_t vocab) const noexcept {
  for (TokenId token = 0; static_cast<std::size_t>(token) < vocab; ++token) {
    if (!std::ranges::binary_search(suppressed_, token)) return token;
  }
  return 0;
}

double log_sum_exp(std::span<const float> logits) noexcept {
  float best = kImpossible;
  for (const float logit : logits) best = logit > best ? logit : best;
  if (best == kImpossible) return kImpossible;
  return double{best} + std::log(weight_of_all(logits, best, 1.0));
}

float logprob_of(float logit, double log_sum) noexcept {
  return static_cast<float>(double{logit} - log_sum);
}

TokenLogprob logprob_of(std::span<const float> logits, TokenId token) {
  if (!has_token(logits, token)) return {token, kImpossible};
  return {token, logprob_of(logits[static_cast<std::size_t>(token)], log_sum_exp(logits))};
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, std::uint32_t n) {
  std::vector<TokenLogit> best;
  std::vector<TokenLogprob> top;
  find_top_logprobs(logits, log_sum_exp(logits), n, best, top);
  return top;
}

void find_top_logprobs(std::span<const float> logits, double log_sum, std::uint32_t n,
                       std::vector<TokenLogit>& best, std::vector<TokenLogprob>& top) {
  find_top(logits, n, best);
  top.clear();
  for (const auto& [token, logit] : best) top.push_back({token, logprob_of(logit, log_sum)});
}

}  // namespace tandem::model
