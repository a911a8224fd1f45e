#include "daemon/engine/generation.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "model/error.h"
#include "planner/activations.h"

namespace tandem::engine {
namespace {

[[noreturn]] void throw_unusable() {
  throw Error("the model's output is not a number", "the model file may be damaged");
}

/// The logits that belong to tokens.  Throws if one is infinite or not a number (all exponent bits set).
template <typename T>
std::span<T> usable(std::span<T> logits, const model::Tokenizer& tokenizer) {
  constexpr std::uint32_t kExponent = 0x7f800000;
  const auto of_tokens = logits.first(std::min<std::size_t>(logits.size(), tokenizer.size()));
  bool bad = false;
  for (const float logit : of_tokens) bad |= (std::bit_cast<std::uint32_t>(logit) & kExponent) == kExponent;
  if (bad) throw_unusable();
  return of_tokens;
}

}  // namespace

Generation::Generation(EngineRequest request, const model::Tokenizer& tokenizer)
    : request_(std::move(request)),
      tokenizer_(&tokenizer),
      sampler_(request_.sampling, request_.prompt, tokenizer.suppressed(),
               std::min<std::uint64_t>(request_.max_new_tok, tokenizer.size())),
      text_(tokenizer, request_) {}

model::TokenId Generation::token_at(std::uint64_t position) const noexcept {
  return in_prompt(position) ? request_.prompt[position] : newest_;
}

void Generation::echo(std::uint64_t first_position, std::uint32_t rows,
                      const std::function<std::span<const float>(std::uint32_t)>& logits_of,
                      TextDelta& delta) {
  const auto add = [&](model::TokenId token) {
    delta.tokens.push_back(token);
    text_.echo(token, delta.text);
  };
  if (first_position == 0) {
    add(request_.prompt[0]);
    if (scores_prompt()) delta.scores.push_back({request_.prompt[0], std::nullopt, {}});
  }
  const auto end = std::min<std::uint64_t>(first_position + rows, request_.prompt.size() - 1);
  for (auto position = first_position; position < end; ++position) {
    const auto token = request_.prompt[position + 1];
    add(token);
    if (!scores_prompt()) continue;
    const auto logits = logits_of(static_cast<std::uint32_t>(position - first_position));
    add_score(usable(logits, *tokenizer_), token, delta);
  }
}

void Generation::choose(std::span<float> all_logits, std::vector<float>& scratch, TextDelta& delta) {
  const auto logits = usable(all_logits, *tokenizer_);
  if (request_.logprobs) scratch.assign(logits.begin(), logits.end());
  const bool shown = say(pick(logits), delta);
  if (request_.logprobs && shown) add_score(scratch, newest_, delta);
}

std::uint32_t Generation::best_wanted(std::uint32_t vocab) const noexcept {
  if (request_.logprobs || request_.constraint || sampler_.most_edits() > planner::kMostEdits) return 0;
  const auto wanted = sampler_.wanted(vocab);
  return wanted > device::kMostCandidates ? 0 : static_cast<std::uint32_t>(wanted);
}

void Generation::choose_best(const ReducedRow& row, std::uint32_t vocab, TextDelta& delta) {
  if (row.unusable > 0) throw_unusable();
  best_.clear();
  best_.reserve(row.candidates.size());
  for (const auto& [token, logit] : row.candidates) {
    if (token >= 0) best_.push_back({token, logit});
  }
  say(sampler_.sample_best(best_, vocab), delta);
}

/// Makes `token` the newest and adds its text; false for tokens that are not of the text.
bool Generation::say(model::TokenId token, TextDelta& delta) {
  newest_ = token;
  ++completion_tok_;
  delta.tokens.push_back(newest_);
  const bool shown = text_.push(newest_, delta);
  stopped_ = tokenizer_->ends_generation(newest_) || text_.stopped();
  return shown;
}

void Generation::find_allowed() noexcept {
  try {
    const auto& wanted = *request_.constraint;
    if (!constraint_) constraint_.emplace(wanted.masks, *tokenizer_, wanted.thought, wanted.begun);
    constraint_->allowed();
  } catch (...) {
    not_found_ = std::current_exception();
  }
}

/// The next token, one that the constraint allows.
model::TokenId Generation::pick(std::span<float> logits) {
  if (!constraint_) return sampler_.sample(logits);
  model::keep_only(constraint_->allowed(), logits);
  const auto token = sampler_.sample(logits);
  if (!constraint_->accept(token)) throw Error("no token of the vocabulary continues what the grammar makes");
  return token;
}

void Generation::close(TextDelta& delta) {
  text_.finish(delta);
}

void Generation::add_score(std::span<const float> logits, model::TokenId token, TextDelta& delta) {
  auto& score = delta.scores.emplace_back();
  score.token = token;
  score.logprob = model::logprob_of(logits, token).logprob;
  score.top = std::exchange(delta.spare_top, {});
  model::find_top_logprobs(logits, *request_.logprobs, best_, score.top);
}

}  // namespace tandem::engine
