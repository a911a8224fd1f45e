#include "ipc/openai_responses.h"

#include <memory>
#include <string>
#include <utility>

#include "ipc/chat_sequences.h"
#include "ipc/generation_answer.h"
#include "ipc/openai_error.h"
#include "ipc/openai_response_reply.h"
#include "ipc/openai_response_request.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

class ResponseAnswer final : public GenerationAnswer {
 public:
  ResponseAnswer(RouteContext& context, OrderedJson repeated, SpacedNames spaced, Options options)
      : GenerationAnswer(context, std::move(options)),
        head_{id(), context.service.model().id, created_unix_s(), std::move(repeated)},
        items_(std::move(spaced)) {}

 private:
  std::string begin() override {
    std::string events = in_progress("response.created");
    return events += in_progress("response.in_progress");
  }

  std::string on_progress(const PromptProgress& of_all) override {
    return sse_comment("progress " + std::to_string(of_all.done_tok) + "/" +
                       std::to_string(of_all.total_tok));
  }

  std::string sign_of_life() override { return in_progress("response.in_progress"); }

  std::string on_delta(std::size_t /*choice*/, const TextDelta& delta) override { return items_.say(delta); }

  std::string on_finish(std::size_t /*choice*/, const Finished& finished) override {
    const std::string events = items_.close(response_status(finished));
    OrderedJson response = response_object(head_, response_status(finished), items_.output());
    add_response_end(response, finished);
    return events + items_.event(std::string("response.") + response_status(finished),
                                 {{"response", std::move(response)}});
  }

  std::string end() override { return {}; }

  std::string failure(const RequestError& error) override {
    const std::string events = items_.close("incomplete");
    OrderedJson response = response_object(head_, "failed", items_.output());
    response["error"] = {{"code", error.code().empty() ? "server_error" : error.code()},
                         {"message", error.what()}};
    return events + items_.event("response.failed", {{"response", std::move(response)}});
  }

  HttpReply whole() override {
    const Choice& choice = choices().front();
    const Finished& finished = *choice.finished;
    OrderedJson response = response_object(head_, response_status(finished),
                                           response_output(choice.said, finished, items_.spaced()));
    add_response_end(response, finished);
    return json_reply(response);
  }

  HttpReply error_reply(const RequestError& error) override { return openai_error_reply(error); }

  std::string in_progress(const char* event) {
    return items_.event(event, {{"response", response_object(head_, "in_progress", OrderedJson::array())}});
  }

  const ResponseHead head_;
  ResponseItems items_;
};

Outcome prepare_response(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  auto request = read_openai_response_request(body, context.limits, context.service.model());
  GenerationAnswer::Options options{"resp_" + http.id, http.sender.account,
                                    request.stream ? Delivery::streamed : Delivery::whole};
  auto sequences = chat_sequences(request.chat, std::move(request.settings), 1, options.id, http.sender.owner,
                                  context.limits, context.service);
  return StartAnswer([&context, repeated = std::move(request.repeated), spaced = std::move(request.spaced),
                      options = std::move(options),
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    auto answer =
        std::make_unique<ResponseAnswer>(context, std::move(repeated), std::move(spaced), std::move(options));
    answer->submit(std::move(sequences), wake);
    return answer;
  });
}

}  // namespace

std::vector<Route> openai_response_routes(RouteContext& context) {
  return {{"POST", "/v1/responses", [&context](const HttpRequest& request, const std::string&) {
             return prepare_response(context, request);
           }}};
}

}  // namespace tandem::ipc
