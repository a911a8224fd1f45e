#include "ipc/generation_answer.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

constexpr unsigned kClientClosedRequest = 499;  // a status that no client library retries

std::uint64_t unix_now_s() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

/// Why the whole request failed, if one of its sequences did.
std::optional<RequestError> failure_of(const Finished& finished) {
  if (finished.reason == FinishReason::cancelled) {
    return RequestError(kClientClosedRequest, "request_cancelled", "the request was cancelled", {},
                        "request_cancelled");
  }
  if (finished.reason == FinishReason::error) return RequestError(500, kServerError, finished.error);
  return std::nullopt;
}

template <typename T>
void append(std::vector<T>& to, std::vector<T>&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

void append(TextDelta& to, TextDelta&& from) {
  to.reasoning += from.reasoning;
  to.text += from.text;
  append(to.calls, std::move(from.calls));
  append(to.tokens, std::move(from.tokens));
  to.scores.insert(to.scores.end(), from.scores.begin(), from.scores.end());  // copies have no room to spare
}

}  // namespace

Usage total_usage(std::span<const Choice> choices, std::size_t per_prompt) {
  Usage total;
  for (std::size_t i = 0; i < choices.size(); ++i) {
    if (!choices[i].finished) continue;
    const Usage& usage = choices[i].finished->usage;
    if (i % per_prompt == 0) total.prompt_tok += usage.prompt_tok;
    total.completion_tok += usage.completion_tok;
    total.reasoning_tok += usage.reasoning_tok;
    total.queue_us = std::max(total.queue_us, usage.queue_us);
    total.prompt_us = std::max(total.prompt_us, usage.prompt_us);
    total.decode_us = std::max(total.decode_us, usage.decode_us);
    total.decode_gb_per_s = std::max(total.decode_gb_per_s, usage.decode_gb_per_s);
  }
  return total;
}

GenerationAnswer::GenerationAnswer(RouteContext& context, Options options)
    : context_(context), options_(std::move(options)), created_unix_s_(unix_now_s()) {}

GenerationAnswer::~GenerationAnswer() {
  cancel_unfinished();
  context_.active.remove(options_.id);
}

void GenerationAnswer::submit(std::vector<GenerationRequest> sequences, const Wake& wake) {
  ActiveRequest active{options_.account, {}};
  for (GenerationRequest& sequence : sequences) {
    const auto calls = sequence.rules == nullptr ? EventStream::Calls::no : EventStream::Calls::maybe;
    Source source{sequence.id,
                  std::make_shared<EventStream>(context_.limits.queued_events, sequence.logprobs, calls)};
    source.events->on_push(wake);
    context_.service.submit(std::move(sequence), source.events);  // those before end with this object
    active.sequence_ids.push_back(source.sequence_id);
    sources_.push_back(std::move(source));
    choices_.emplace_back();
  }
  context_.active.add(options_.id, std::move(active));
}

Output GenerationAnswer::next() {
  if (options_.delivery == Delivery::whole) return next_whole();
  if (!std::exchange(head_sent_, true)) return stream_head();
  return next_piece();
}

void GenerationAnswer::cancel_unfinished() noexcept {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    if (choices_[i].finished) continue;
    sources_[i].events->abandon();
    context_.service.cancel(sources_[i].sequence_id);
  }
}

StreamHead GenerationAnswer::stream_head() const {
  HttpReply head;
  head.content_type = options_.stream_type;
  head.headers.emplace_back("Cache-Control", "no-cache");
  head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx passes every piece on at once
  return {named(std::move(head))};
}

/// With the id that DELETE takes.
HttpReply GenerationAnswer::named(HttpReply reply) const {
  reply.headers.emplace_back(kRequestIdHeader, options_.id);
  return reply;
}

Output GenerationAnswer::next_whole() {
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    Choice& choice = choices_[i];
    for (StreamEvent& event : sources_[i].events->drain()) {
      if (auto* delta = std::get_if<TextDelta>(&event)) append(choice.said, std::move(*delta));
      if (auto* finished = std::get_if<Finished>(&event)) choice.finished = std::move(*finished);
    }
    if (!choice.finished) continue;
    if (const auto failed = failure_of(*choice.finished)) return named(error_reply(*failed));
  }
  if (!all_finished()) return NotYet{};
  return named(whole());
}

Output GenerationAnswer::next_piece() {
  const std::string opening = std::exchange(begun_, true) ? std::string() : begin();
  std::string bytes;
  bool progressed = false;
  for (std::size_t i = 0; i < sources_.size(); ++i) {
    Choice& choice = choices_[i];
    for (StreamEvent& event : sources_[i].events->drain()) {
      if (const auto* progress = std::get_if<PromptProgress>(&event)) {
        choice.progress = *progress;
        progressed = true;
      } else if (const auto* delta = std::get_if<TextDelta>(&event)) {
        bytes += on_delta(i, *delta);
      } else {
        choice.finished = std::move(std::get<Finished>(event));
        if (const auto failed = failure_of(*choice.finished))
          return StreamPiece{opening + bytes + failure(*failed), true};
        bytes += on_finish(i, *choice.finished);
      }
    }
  }
  const bool says_something = !opening.empty() || !bytes.empty();
  if (progressed) bytes = on_progress(progress_of_all()) + bytes;
  bytes = opening + bytes;
  const auto now = SignOfLife::Clock::now();
  if (says_something) {
    silence_.heard(now);
  } else if (silence_.due(now)) {
    bytes += sign_of_life();
  }
  if (all_finished()) return StreamPiece{bytes + end(), true};
  if (bytes.empty()) return NotYet{};
  return StreamPiece{std::move(bytes)};
}

PromptProgress GenerationAnswer::progress_of_all() const {
  PromptProgress sum;
  for (const Choice& choice : choices_) {
    sum.done_tok += choice.progress.done_tok;
    sum.total_tok += choice.progress.total_tok;
  }
  return sum;
}

bool GenerationAnswer::all_finished() const {
  return std::ranges::all_of(choices_, [](const Choice& choice) { return choice.finished.has_value(); });
}

}  // namespace tandem::ipc
