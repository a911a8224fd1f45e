#include "ipc/openai_completions.h"

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "ipc/generation_answer.h"
#include "ipc/openai_completion_reply.h"
#include "ipc/openai_completion_request.h"
#include "ipc/openai_error.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

/// The mean log-probability of the tokens an answer was given, which best_of ranks by.
double mean_logprob(const Choice& choice) {
  const auto& scores = choice.said.scores;
  const auto tokens = std::min<std::size_t>(choice.finished->usage.completion_tok, scores.size());
  if (tokens == 0) return 0.0;
  double sum = 0.0;
  for (std::size_t i = scores.size() - tokens; i < scores.size(); ++i) sum += scores[i].chosen.logprob;
  return sum / static_cast<double>(tokens);
}

/// Scores of prompts that answers which are sent whole may keep at once, some 125 bytes each.
constexpr std::size_t kMostKeptScores = std::size_t{1} << 20;

/// Of all prompts, with their alternatives.
std::size_t prompt_scores(const std::vector<GenerationRequest>& sequences) {
  std::size_t scores = 0;
  for (const GenerationRequest& sequence : sequences) {
    if (sequence.echo && sequence.logprobs) scores += sequence.prompt.size() * (1 + *sequence.logprobs);
  }
  return scores;
}

/// An answer's part of what may be kept.  I/O thread only.
class KeptScores {
 public:
  /// Throws RequestError where that is too many.
  KeptScores(RouteContext& context, std::size_t scores) : context_(context), scores_(scores) {
    const std::string limit = std::to_string(kMostKeptScores);
    if (scores > kMostKeptScores) {
      refuse_field("logprobs", "with 'echo' makes " + std::to_string(scores) +
                                   " scores of the prompt, limit is " + limit +
                                   " for an answer that is not streamed");
    }
    if (scores > kMostKeptScores - context.kept_scores) {
      throw RequestError(503, kServerError,
                         "answers that are not streamed hold " + std::to_string(context.kept_scores) +
                             " scores of prompts already, limit is " + limit + "; try again");
    }
    context.kept_scores += scores;
  }
  ~KeptScores() { context_.kept_scores -= scores_; }
  KeptScores(const KeptScores&) = delete;
  KeptScores& operator=(const KeptScores&) = delete;

 private:
  RouteContext& context_;
  const std::size_t scores_;
};

class CompletionAnswer final : public GenerationAnswer {
 public:
  /// `kept_scores`: of prompts.
  CompletionAnswer(RouteContext& context, const CompletionRequest& completion, Options options,
                   std::size_t kept_scores)
      : GenerationAnswer(context, std::move(options)),
        kept_scores_(context, kept_scores),
        completion_(completion),
        head_{id(), context.service.model().id, created_unix_s()} {}

 private:
  std::string on_progress(const PromptProgress& of_all) override {
    return sse_comment("progress " + std::to_string(of_all.done_tok) + "/" +
                       std::to_string(of_all.total_tok));
  }

  std::string sign_of_life() override { return sse_comment("at work"); }

  /// Nothing for a delta that shows nothing.
  std::string on_delta(std::size_t i, const TextDelta& delta) override {
    OrderedJson logprobs;
    if (completion_.shows_logprobs && !delta.scores.empty()) {
      append_logprobs(logprobs, delta.scores, completion_.names, characters_[i]);
    }
    characters_[i] += count_characters(delta.text);
    if (delta.text.empty() && logprobs.is_null()) return {};
    return chunk(completion_choice(i, delta.text, std::move(logprobs), nullptr));
  }

  std::string on_finish(std::size_t i, const Finished& finished) override {
    return chunk(completion_choice(i, "", nullptr, &finished));
  }

  std::string end() override {
    std::string bytes;
    if (completion_.include_usage) {
      OrderedJson object = completion_object(head_, OrderedJson::array());
      object["usage"] = openai_usage(total_usage(choices(), completion_.best_of));
      bytes = sse_event(object);
    }
    return bytes + kSseDone;
  }

  std::string failure(const RequestError& error) override {
    return sse_event(openai_error(error)) + kSseDone;
  }

  HttpReply whole() override {
    OrderedJson list = OrderedJson::array();
    for (std::size_t first = 0; first < choices().size(); first += completion_.best_of) {
      for (Choice* choice : best(first)) list.push_back(whole_choice(list.size(), *choice));
    }
    OrderedJson body = completion_object(head_, std::move(list));
    body["usage"] = openai_usage(total_usage(choices(), completion_.best_of));
    return json_reply(body);
  }

  HttpReply error_reply(const RequestError& error) override { return openai_error_reply(error); }

  /// The n best of the best_of choices from `first` on: of one prompt.
  std::vector<Choice*> best(std::size_t first) {
    std::vector<Choice*> ranked;
    for (std::size_t i = 0; i < completion_.best_of; ++i) ranked.push_back(&choices()[first + i]);
    if (completion_.best_of > completion_.n) {
      std::ranges::stable_sort(ranked, std::greater(),
                               [](const Choice* choice) { return mean_logprob(*choice); });
    }
    ranked.resize(completion_.n);
    return ranked;
  }

  /// Its scores are not kept twice.
  [[nodiscard]] OrderedJson whole_choice(std::size_t index, Choice& choice) const {
    OrderedJson logprobs;
    const auto scores = std::exchange(choice.said.scores, {});
    if (completion_.shows_logprobs) append_logprobs(logprobs, scores, completion_.names, 0);
    return completion_choice(index, choice.said.text, std::move(logprobs), &*choice.finished);
  }

  [[nodiscard]] std::string chunk(OrderedJson choice) const {
    OrderedJson object = completion_object(head_, OrderedJson::array({std::move(choice)}));
    if (completion_.include_usage) object["usage"] = nullptr;
    return sse_event(object);
  }

  const KeptScores kept_scores_;
  const CompletionRequest completion_;
  const CompletionHead head_;
  std::map<std::size_t, std::size_t> characters_;  ///< streamed so far, by choice
};

/// The slow half: reads the body, tokenises, compiles grammars.
Outcome prepare_completion(RouteContext& context, const HttpRequest& request) {
  const Json body = parse_object(request.body, context.limits.json_depth);
  CompletionRequest completion = read_completion_request(body, context.limits, context.service.model().vocab);
  GenerationAnswer::Options options{"cmpl-" + request.id, request.sender.account,
                                    completion.stream ? Delivery::streamed : Delivery::whole};
  auto sequences =
      to_sequences(completion, options.id, request.sender.owner, context.limits, context.service);
  completion.prompts.clear();
  return StartAnswer([&context, completion = std::move(completion), options = std::move(options),
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    const std::size_t kept_scores = options.delivery == Delivery::whole ? prompt_scores(sequences) : 0;
    auto answer = std::make_unique<CompletionAnswer>(context, completion, std::move(options), kept_scores);
    answer->submit(std::move(sequences), wake);
    return answer;
  });
}

}  // namespace

std::vector<Route> openai_completion_routes(RouteContext& context) {
  return {{"POST", "/v1/completions", [&context](const HttpRequest& request, const std::string&) {
             return prepare_completion(context, request);
           }}};
}

}  // namespace tandem::ipc
