#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <sys/types.h>
#include <vector>

#include "ipc/router.h"
#include "ipc/sign_of_life.h"

namespace tandem::ipc {

/// What one sequence of an answer has said so far.
struct Choice {
  PromptProgress progress;
  /// Of an answer sent whole, all of it; of a streamed one, nothing.
  TextDelta said;
  std::optional<Finished> finished;
};

/// Counts and times of several sequences as one: counts add up, each prompt's once for its `per_prompt`
/// consecutive choices; of times the longest counts, for they ran side by side.
Usage total_usage(std::span<const Choice> choices, std::size_t per_prompt = 1);

enum class Delivery { whole, streamed };

/// The common part of every dialect's answers: submits the sequences, drains their streams, cancels them when
/// the client leaves, and lets a derived class put what came into its dialect's words.
///
/// A streamed answer is begin(), then on_progress(), on_delta() and on_finish() as events come, then end();
/// or, where a sequence failed or was cancelled, failure() instead of the rest.  A whole answer is whole() or
/// error_reply().  All run on the I/O thread.
class GenerationAnswer : public Answer {
 public:
  struct Options {
    std::string id;       ///< the request's, what DELETE /v1/requests/{id} takes
    std::string account;  ///< of its sender
    Delivery delivery = Delivery::whole;
    std::string stream_type = "text/event-stream; charset=utf-8";
  };

  /// The context outlives the answer.
  GenerationAnswer(RouteContext& context, Options options);
  ~GenerationAnswer() override;

  /// Submits every sequence, or none: throws RequestError.  Call it once, before next(); `wake` may run from
  /// then on.
  void submit(std::vector<GenerationRequest> sequences, const Wake& wake);

  Output next() final;

 protected:
  /// The bytes of a streamed answer; all may be empty.
  virtual std::string begin() { return {}; }
  virtual std::string on_progress(const PromptProgress& /*of_all*/) { return {}; }
  /// Where nothing was said for SignOfLife::kPeriod, though something came.
  virtual std::string sign_of_life() { return {}; }
  virtual std::string on_delta(std::size_t choice, const TextDelta& delta) = 0;
  virtual std::string on_finish(std::size_t choice, const Finished& finished) = 0;
  virtual std::string end() = 0;
  virtual std::string failure(const RequestError& error) = 0;

  /// A whole answer, every choice finished.
  virtual HttpReply whole() = 0;
  virtual HttpReply error_reply(const RequestError& error) = 0;

  [[nodiscard]] std::vector<Choice>& choices() noexcept { return choices_; }
  [[nodiscard]] const std::string& id() const noexcept { return options_.id; }
  [[nodiscard]] std::uint64_t created_unix_s() const noexcept { return created_unix_s_; }
  [[nodiscard]] RouteContext& context() noexcept { return context_; }

 private:
  struct Source {
    std::string sequence_id;
    std::shared_ptr<EventStream> events;
  };

  void cancel_unfinished() noexcept;
  [[nodiscard]] StreamHead stream_head() const;
  [[nodiscard]] HttpReply named(HttpReply reply) const;
  Output next_whole();
  Output next_piece();
  [[nodiscard]] PromptProgress progress_of_all() const;
  [[nodiscard]] bool all_finished() const;

  RouteContext& context_;
  const Options options_;
  const std::uint64_t created_unix_s_;
  bool head_sent_ = false;
  bool begun_ = false;
  SignOfLife silence_{SignOfLife::Clock::now()};
  std::vector<Source> sources_;
  std::vector<Choice> choices_;
};

}  // namespace tandem::ipc
