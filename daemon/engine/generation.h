#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory_resource>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daemon/engine/answer_text.h"
#include "daemon/engine/executor.h"
#include "daemon/engine/request.h"
#include "daemon/engine/sink.h"
#include "model/answer_constraint.h"
#include "model/sampling.h"
#include "model/tokenizer.h"

namespace tandem::engine {

/// Turns the logits of one request into tokens, scores and text.  Knows nothing of threads, batches or other
/// requests.  Rows of logits beyond the vocabulary (model-spec 1.1) are ignored.  Members throw Error where
/// logits are not numbers.
class Generation {
 public:
  /// `tokenizer` outlives the object; the prompt is not empty and its ids are in range.
  Generation(EngineRequest request, const model::Tokenizer& tokenizer);

  [[nodiscard]] const EngineRequest& request() const noexcept { return request_; }
  /// The prompt rows' logits are wanted too.
  [[nodiscard]] bool scores_prompt() const noexcept { return request_.echo && request_.logprobs; }
  [[nodiscard]] bool in_prompt(std::uint64_t position) const noexcept {
    return position < request_.prompt.size();
  }
  /// The token at `position`: of the prompt, or the newest.
  [[nodiscard]] model::TokenId token_at(std::uint64_t position) const noexcept;
  [[nodiscard]] std::uint64_t completion_tok() const noexcept { return completion_tok_; }
  /// Of these, the tokens of thoughts.
  [[nodiscard]] std::uint64_t thought_tok() const noexcept { return text_.thought_tok(); }
  /// A token or a string ended the answer.
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

  /// Echo: adds what comes out once the prompt rows `first_position` .. + `rows` are computed.  The row at a
  /// position scores the token after it; `logits_of(i)` is called for the rows in order if scores_prompt().
  void echo(std::uint64_t first_position, std::uint32_t rows,
            const std::function<std::span<const float>(std::uint32_t)>& logits_of, TextDelta& delta);

  /// The request has a grammar that says what may come: `find_allowed` comes before the first `choose`, and
  /// before each where `knows_allowed` says no.
  [[nodiscard]] bool is_held() const noexcept { return request_.constraint && request_.max_new_tok > 0; }
  /// True if it is known what may come next, or found at once.
  bool knows_allowed() { return !constraint_ || constraint_->knows_allowed(); }
  /// Where masks of what is allowed are to lie, before the first `find_allowed`; nobody else uses it until
  /// another request's first `find_allowed`.
  void keep_masks_in(std::span<std::byte> memory) noexcept { mask_bytes_ = memory; }
  /// Takes up to 0.3 s, on any thread; nothing else may be called meanwhile that asks for what is allowed.
  void find_allowed() noexcept;
  /// Throws what went wrong in `find_allowed`.
  void check_found() const {
    if (not_found_) std::rethrow_exception(not_found_);
  }

  /// Chooses the next token from `logits`, which are changed, and adds what comes of it to `delta`.
  void choose(std::span<float> logits, TextDelta& delta);

  /// How many of the best logits do for the next choice, once they are edited, of `vocab` that have a token;
  /// 0: it takes all.
  [[nodiscard]] std::uint32_t best_wanted(std::uint32_t vocab) const noexcept;
  /// Makes `edits` these edits, planner::kMostEdits or fewer.
  void edits(std::uint32_t vocab, std::vector<model::LogitEdit>& edits) const {
    sampler_.edits(vocab, edits);
  }
  /// As `choose`, from what a row was reduced to.
  void choose_best(const ReducedRow& row, std::uint32_t vocab, TextDelta& delta);

  /// Adds what is still held back, when nothing more comes.
  void close(TextDelta& delta);
  /// The stop string that ended the answer; empty if none did.
  [[nodiscard]] const std::string& stop_string() const noexcept { return text_.stop_string(); }

 private:
  double score_best(std::span<const float> logits, TextDelta& delta);
  void add_score(model::TokenId token, float logprob, TextDelta& delta) const;
  model::TokenId pick(std::span<float> logits);
  bool say(model::TokenId token, TextDelta& delta);

  EngineRequest request_;
  const model::Tokenizer* tokenizer_;
  model::Sampler sampler_;
  AnswerText text_;
  std::vector<model::TokenLogit> best_;  ///< candidates of a reduced row, alternatives of a score
  std::span<std::byte> mask_bytes_;
  std::optional<std::pmr::monotonic_buffer_resource> mask_memory_;  ///< of these; before what uses it
  std::optional<model::AnswerConstraint> constraint_;               ///< from the first `find_allowed` on
  std::exception_ptr not_found_;                                    ///< why what it allows is not known
  model::TokenId newest_ = 0;
  std::uint64_t completion_tok_ = 0;
  bool stopped_ = false;
};

}  // namespace tandem::engine
