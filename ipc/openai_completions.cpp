#include "ipc/openai_completions.h"

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "ipc/openai_completion_reply.h"
#include "ipc/openai_completion_request.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

constexpr unsigned kClientClosedRequest = 499;  // a status that no client library retries

std::uint64_t unix_now_s() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(now).count());
}

/// One prompt on its way: what its sequence has said so far.
struct Choice {
  std::string sequence_id;
  std::shared_ptr<EventStream> events;
  PromptProgress progress;
  std::string text;            ///< of a whole answer
  OrderedJson logprobs;        ///< of a whole answer
  std::size_t characters = 0;  ///< in all text so far
  std::optional<Finished> finished;
};

/// Why the whole request failed, if one of its sequences did.
std::optional<RequestError> failure_of(const Finished& finished) {
  if (finished.reason == FinishReason::cancelled) {
    return RequestError(kClientClosedRequest, "request_cancelled", "the request was cancelled", {},
                        "request_cancelled");
  }
  if (finished.reason == FinishReason::error) return RequestError(500, kServerError, finished.error);
  return std::nullopt;
}

class CompletionAnswer final : public Answer {
 public:
  /// Submits every sequence, or none: throws RequestError.
  CompletionAnswer(RouteContext& context, const CompletionRequest& completion, const std::string& id,
                   uid_t uid, std::vector<GenerationRequest> sequences, const Wake& wake)
      : context_(context),
        stream_(completion.stream),
        include_usage_(completion.include_usage),
        names_(completion.tokens_as_ids ? TokenNames::ids : TokenNames::text),
        scored_(completion.settings.logprobs.has_value()),
        head_{id, context.service.model().id, unix_now_s()} {
    try {
      for (GenerationRequest& sequence : sequences) submit(std::move(sequence), wake);
    } catch (...) {
      cancel_unfinished();
      throw;
    }
    ActiveRequest active{uid, {}};
    for (const Choice& choice : choices_) active.sequence_ids.push_back(choice.sequence_id);
    context_.active.add(head_.id, std::move(active));
  }

  ~CompletionAnswer() override {
    cancel_unfinished();
    context_.active.remove(head_.id);
  }

  Output next() override {
    if (stream_ && !std::exchange(head_sent_, true)) return stream_head();
    return stream_ ? next_piece() : next_whole();
  }

 private:
  void submit(GenerationRequest sequence, const Wake& wake) {
    Choice choice;
    choice.sequence_id = sequence.id;
    choice.events = std::make_shared<EventStream>(context_.limits.queued_events);
    choice.events->on_push(wake);
    context_.service.submit(std::move(sequence), choice.events);
    choices_.push_back(std::move(choice));
  }

  void cancel_unfinished() noexcept {
    for (Choice& choice : choices_) {
      if (choice.finished) continue;
      choice.events->abandon();
      context_.service.cancel(choice.sequence_id);
    }
  }

  [[nodiscard]] StreamHead stream_head() const {
    HttpReply head;
    head.content_type = "text/event-stream; charset=utf-8";
    head.headers.emplace_back("Cache-Control", "no-cache");
    head.headers.emplace_back("X-Accel-Buffering", "no");  // nginx passes every piece on at once
    return {named(std::move(head))};
  }

  /// With the id that DELETE takes.
  [[nodiscard]] HttpReply named(HttpReply reply) const {
    reply.headers.emplace_back(kRequestIdHeader, head_.id);
    return reply;
  }

  Output next_whole() {
    for (Choice& choice : choices_) {
      for (StreamEvent& event : choice.events->drain()) collect(choice, event);
      if (!choice.finished) continue;
      if (const auto failure = failure_of(*choice.finished)) return named(openai_error_reply(*failure));
    }
    if (!all_finished()) return NotYet{};
    OrderedJson choices = OrderedJson::array();
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      choices.push_back(completion_choice(i, choice.text, std::move(choice.logprobs), &*choice.finished));
    }
    OrderedJson body = completion_object(head_, std::move(choices));
    body["usage"] = completion_usage(usages());
    return named(json_reply(body));
  }

  void collect(Choice& choice, StreamEvent& event) {
    if (const auto* delta = std::get_if<TextDelta>(&event)) {
      if (scored_) append_logprobs(choice.logprobs, delta->scores, names_, choice.characters);
      choice.text += delta->text;
      choice.characters += count_characters(delta->text);
    } else if (auto* finished = std::get_if<Finished>(&event)) {
      choice.finished = std::move(*finished);
    }
  }

  Output next_piece() {
    std::string bytes;
    bool progressed = false;
    for (std::size_t i = 0; i < choices_.size(); ++i) {
      Choice& choice = choices_[i];
      for (StreamEvent& event : choice.events->drain()) {
        if (const auto* progress = std::get_if<PromptProgress>(&event)) {
          choice.progress = *progress;
          progressed = true;
          continue;
        }
        if (auto* finished = std::get_if<Finished>(&event)) choice.finished = std::move(*finished);
        if (choice.finished) {
          if (const auto failure = failure_of(*choice.finished)) return last_piece(bytes, *failure);
        }
        bytes += event_piece(i, event);
      }
    }
    if (progressed) bytes = sse_comment(progress_text()) + bytes;
    if (all_finished()) return last_piece(std::move(bytes));
    if (bytes.empty()) return NotYet{};
    return StreamPiece{std::move(bytes)};
  }

  /// A delta or the end of choice `i` as a server-sent event; nothing for a delta that shows nothing.
  std::string event_piece(std::size_t i, const StreamEvent& event) {
    Choice& choice = choices_[i];
    const auto* delta = std::get_if<TextDelta>(&event);
    if (delta == nullptr) return chunk(completion_choice(i, "", nullptr, &*choice.finished));
    OrderedJson logprobs;
    if (scored_ && !delta->scores.empty()) {
      append_logprobs(logprobs, delta->scores, names_, choice.characters);
    }
    choice.characters += count_characters(delta->text);
    if (delta->text.empty() && logprobs.is_null()) return {};
    return chunk(completion_choice(i, delta->text, std::move(logprobs), nullptr));
  }

  std::string chunk(OrderedJson choice) const {
    OrderedJson object = completion_object(head_, OrderedJson::array({std::move(choice)}));
    if (include_usage_) object["usage"] = nullptr;
    return sse_event(object);
  }

  StreamPiece last_piece(std::string bytes) const {
    if (include_usage_) {
      OrderedJson object = completion_object(head_, OrderedJson::array());
      object["usage"] = completion_usage(usages());
      bytes += sse_event(object);
    }
    return {bytes + kSseDone, true};
  }

  static StreamPiece last_piece(const std::string& bytes, const RequestError& failure) {
    return {bytes + sse_event(openai_error(failure)) + kSseDone, true};
  }

  [[nodiscard]] std::string progress_text() const {
    PromptProgress sum;
    for (const Choice& choice : choices_) {
      sum.done_tok += choice.progress.done_tok;
      sum.total_tok += choice.progress.total_tok;
    }
    return "progress " + std::to_string(sum.done_tok) + "/" + std::to_string(sum.total_tok);
  }

  [[nodiscard]] bool all_finished() const {
    for (const Choice& choice : choices_) {
      if (!choice.finished) return false;
    }
    return true;
  }

  [[nodiscard]] std::vector<Usage> usages() const {
    std::vector<Usage> usages;
    for (const Choice& choice : choices_) usages.push_back(choice.finished->usage);
    return usages;
  }

  RouteContext& context_;
  const bool stream_;
  const bool include_usage_;
  const TokenNames names_;
  const bool scored_;
  const CompletionHead head_;
  bool head_sent_ = false;
  std::vector<Choice> choices_;
};

/// The slow half: reads the body and tokenises.
Outcome prepare(RouteContext& context, const HttpRequest& request) {
  const Json body = parse_object(request.body, context.limits.json_depth);
  CompletionRequest completion = read_completion_request(body, context.limits, context.service.model().vocab);
  const std::string id = "cmpl-" + request.id;
  auto sequences = to_sequences(completion, id, request.owner, context.limits, context.service);
  completion.prompts.clear();
  return StartAnswer([&context, completion = std::move(completion), id, uid = request.uid,
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    return std::make_unique<CompletionAnswer>(context, completion, id, uid, std::move(sequences), wake);
  });
}

}  // namespace

std::vector<Route> openai_completion_routes(RouteContext& context) {
  return {{"POST", "/v1/completions",
           [&context](const HttpRequest& request, const std::string&) { return prepare(context, request); }}};
}

}  // namespace tandem::ipc
