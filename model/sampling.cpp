#include "model/sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>

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

/// exp((logit - best) / temperature), where both may be infinite and the logit not a number.
double weight_of(float logit, float best, double temperature) noexcept {
  if (logit == best) return 1.0;
  return std::isnan(logit) ? 0.0 : std::exp((double{logit} - double{best}) / temperature);
}

double weight_of_all(std::span<const float> logits, float best, double temperature) noexcept {
  double sum = 0.0;
  for (const float logit : logits) sum += weight_of(logit, best, temperature);
  return sum;
}

/// Makes `kept` the tokens whose weight is at least `weight`, by id.
void find_at_least(std::span<const float> logits, float best, double temperature, double weight,
                   std::vector<TokenLogit>& kept) {
  const double limit = double{best} + temperature * std::log(weight);
  kept.clear();
  kept.reserve(logits.size());
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (double{logits[id]} >= limit) kept.push_back({static_cast<TokenId>(id), logits[id]});
  }
}

/// Keeps the fewest best tokens that together weigh `wanted`, best first.  Sorts no more than it has to.
void keep_nucleus(std::vector<TokenLogit>& tokens, float best, double temperature, double wanted) {
  double mass = 0.0;
  std::size_t sorted = 0;
  for (std::size_t step = 256; sorted < tokens.size(); step *= 4) {
    const auto begin = tokens.begin() + static_cast<std::ptrdiff_t>(sorted);
    const auto end = begin + static_cast<std::ptrdiff_t>(std::min(step, tokens.size() - sorted));
    if (end != tokens.end()) std::nth_element(begin, end, tokens.end(), better);
    std::sort(begin, end, better);
    for (auto token = begin; token != end; ++token) {
      mass += weight_of(token->logit, best, temperature);
      if (mass >= wanted) return tokens.resize(static_cast<std::size_t>(token - tokens.begin()) + 1);
    }
    sorted = static_cast<std::size_t>(end - tokens.begin());
  }
}

/// The token at `point` (0 to 1, 1 excluded) of the distribution over `tokens`, in their order.
TokenId draw(const std::vector<TokenLogit>& tokens, std::vector<double>& until, float best,
             double temperature, double point) {
  until.clear();
  until.reserve(tokens.capacity());
  double mass = 0.0;
  for (const auto& token : tokens) until.push_back(mass += weight_of(token.logit, best, temperature));
  const auto chosen = std::ranges::upper_bound(until, point * mass) - until.begin();
  return tokens[std::min(static_cast<std::size_t>(chosen), tokens.size() - 1)].token;
}

/// The same over all tokens, by id, without a list of them.
TokenId draw_from_all(std::span<const float> logits, float best, double temperature, double point) {
  const double wanted = point * weight_of_all(logits, best, temperature);
  double mass = 0.0;
  std::size_t id = 0;
  for (; id + 1 < logits.size(); ++id) {
    mass += weight_of(logits[id], best, temperature);
    if (mass > wanted) break;
  }
  return static_cast<TokenId>(id);
}

/// Applies top_p of `mass` and min_p to `tokens` and draws.
TokenId draw_nucleus(std::vector<TokenLogit>& tokens, std::vector<double>& until, double mass, float best,
                     const SamplingParams& params, double point) {
  const double temperature = params.temperature;
  const double min_p = params.min_p;
  const double top_p = params.top_p;
  if (top_p < 1.0) keep_nucleus(tokens, best, temperature, top_p * mass);
  std::erase_if(tokens, [&](const auto& t) { return weight_of(t.logit, best, temperature) < min_p; });
  return draw(tokens, until, best, temperature, point);
}

/// The same where top_k left `tokens`, best first.
TokenId draw_from_best(std::vector<TokenLogit>& tokens, std::vector<double>& until,
                       const SamplingParams& params, double point) {
  const float best = tokens.front().logit;
  double mass = 0.0;
  for (const auto& token : tokens) mass += weight_of(token.logit, best, params.temperature);
  return draw_nucleus(tokens, until, mass, best, params, point);
}

/// Applies top_k, top_p and min_p and draws; `best` is the largest logit, a number above -inf.
TokenId draw_truncated(std::span<const float> logits, float best, const SamplingParams& params, double point,
                       std::vector<TokenLogit>& kept, std::vector<double>& until) {
  const double temperature = params.temperature;
  const double top_p = params.top_p;
  const double min_p = params.min_p;
  if (params.top_k > 0 && params.top_k < logits.size()) {
    find_top(logits, params.top_k, kept);
    return draw_from_best(kept, until, params, point);
  }
  if (top_p >= 1.0 && min_p <= 0.0) return draw_from_all(logits, best, temperature, point);
  const double mass = weight_of_all(logits, best, temperature);
  // Tokens below this weigh less than 1 - p of everything together: the nucleus is among the others.
  const double rest = std::max(0.0, 1.0 - top_p) * mass / static_cast<double>(logits.size());
  find_at_least(logits, best, temperature, std::max(rest, min_p), kept);
  return draw_nucleus(kept, until, mass, best, params, point);
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

/// log of the sum of exp(logits).
double log_sum_exp(std::span<const float> logits) noexcept {
  float best = kImpossible;
  for (const float logit : logits) best = logit > best ? logit : best;
  if (best == kImpossible) return kImpossible;
  return double{best} + std::log(weight_of_all(logits, best, 1.0));
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
  if (!penalises()) return;
  if (params_.repetition_penalty != 1.0F) {
    for (const auto token : prompt) seen_.push_back({token, 0});
    std::ranges::sort(seen_, {}, &Seen::token);
    const auto again = std::ranges::unique(seen_, {}, &Seen::token);
    seen_.erase(again.begin(), again.end());
  }
  seen_.reserve(seen_.size() + new_tok);
}

TokenId Sampler::sample(std::span<float> logits) {
  const double point = uniform(params_.seed, step_++);
  adjust(logits);
  auto& [kept, until] = scratch_;
  find_top(logits, 1, kept);
  TokenId token = 0;
  if (kept.empty() || kept[0].logit == kImpossible) {
    token = first_allowed(logits.size());
  } else if (!(params_.temperature > 0.0F) || params_.top_k == 1) {
    token = kept[0].token;
  } else {
    token = draw_truncated(logits, kept[0].logit, params_, point, kept, until);
  }
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
  for (const auto& [token, bias] : params_.logit_bias) add({.token = token, .added = bias});
  for (const auto& [token, times] : seen_) {
    add({.token = token, .penalty = params_.repetition_penalty, .subtracted = subtracted(times)});
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
    auto& [kept, until] = scratch_;
    kept.assign(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(n));
    token = draw_from_best(kept, until, params_, point);
  }
  remember(token);
  return token;
}

void Sampler::adjust(std::span<float> logits) const noexcept {
  for (const auto& [token, bias] : params_.logit_bias) {
    if (has_token(logits, token)) logits[static_cast<std::size_t>(token)] += bias;
  }
  for (const auto& [token, times] : seen_) {
    if (!has_token(logits, token)) continue;
    auto& logit = logits[static_cast<std::size_t>(token)];
    logit = logit > 0.0F ? logit / params_.repetition_penalty : logit * params_.repetition_penalty;
    logit -= subtracted(times);
  }
  for (const auto token : suppressed_) {
    if (has_token(logits, token)) logits[static_cast<std::size_t>(token)] = kImpossible;
  }
}

void Sampler::remember(TokenId token) {
  if (!penalises()) return;
  auto seen = std::ranges::lower_bound(seen_, token, {}, &Seen::token);
  if (seen == seen_.end() || seen->token != token) seen = seen_.insert(seen, {token, 0});
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

TokenLogprob logprob_of(std::span<const float> logits, TokenId token) {
  if (!has_token(logits, token)) return {token, kImpossible};
  const double logit = logits[static_cast<std::size_t>(token)];
  return {token, static_cast<float>(logit - log_sum_exp(logits))};
}

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, std::uint32_t n) {
  std::vector<TokenLogit> best;
  std::vector<TokenLogprob> top;
  find_top_logprobs(logits, n, best, top);
  return top;
}

void find_top_logprobs(std::span<const float> logits, std::uint32_t n, std::vector<TokenLogit>& best,
                       std::vector<TokenLogprob>& top) {
  const double normalizer = log_sum_exp(logits);
  find_top(logits, n, best);
  top.clear();
  for (const auto& [token, logit] : best)
    top.push_back({token, static_cast<float>(double{logit} - normalizer)});
}

}  // namespace tandem::model
