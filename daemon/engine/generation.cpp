#include "daemon/engine/generation.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "model/error.h"
#include "planner/activations.h"

namespace tandem::engine {
namespace {

static_assert(device::kMostCandidates == model::kMostListed);  // rows are chosen from alike, reduced or whole
static_assert(planner::kAnswerMasks == model::AnswerConstraint::kMasks);

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
    const auto of_tokens = usable(logits, *tokenizer_);
    const double log_sum = score_best(of_tokens, delta);
    add_score(token, model::logprob_of(of_tokens[static_cast<std::size_t>(token)], log_sum), delta);
  }
}

void Generation::choose(std::span<float> all_logits, TextDelta& delta) {
  const auto logits = usable(all_logits, *tokenizer_);
  const double log_sum = request_.logprobs ? score_best(logits, delta) : 0.0;
  const bool shown = say(pick(logits), delta);
  if (!request_.logprobs || !shown) return;
  add_score(newest_, model::logprob_of(sampler_.chosen_logit(), log_sum), delta);
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
    if (!constraint_) {
      auto& memory = mask_memory_.emplace(mask_bytes_.data(), mask_bytes_.size());
      constraint_.emplace(wanted.masks, *tokenizer_, wanted.thought, wanted.begun, &memory);
    }
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

/// Finds the alternatives of a score and what its log-probability takes: before `logits` are changed.
double Generation::score_best(std::span<const float> logits, TextDelta& delta) {
  const double log_sum = model::log_sum_exp(logits);
  model::find_top_logprobs(logits, log_sum, *request_.logprobs, best_, delta.spare_top);
  return log_sum;
}

void Generation::add_score(model::TokenId token, float logprob, TextDelta& delta) const {
  auto& score = delta.scores.emplace_back();
  score.token = token;
  score.logprob = logprob;
  score.top = std::exchange(delta.spare_top, {});
}

}  // namespace tandem::engine
