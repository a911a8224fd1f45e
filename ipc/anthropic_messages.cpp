#include "ipc/anthropic_messages.h"

#include <memory>
#include <string>
#include <utility>

#include "ipc/anthropic_error.h"
#include "ipc/anthropic_reply.h"
#include "ipc/anthropic_request.h"
#include "ipc/chat_sequences.h"
#include "ipc/generation_answer.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

class AnthropicAnswer final : public GenerationAnswer {
 public:
  AnthropicAnswer(RouteContext& context, std::uint64_t prompt_tok, Options options)
      : GenerationAnswer(context, std::move(options)),
        model_(context.service.model().id),
        prompt_tok_(prompt_tok) {}

 private:
  std::string begin() override {
    OrderedJson message = anthropic_message(id(), model_, OrderedJson::array());
    message["usage"] = anthropic_usage(prompt_tok_, 0);
    return sse_event("message_start", {{"type", "message_start"}, {"message", std::move(message)}});
  }

  std::string on_progress(const PromptProgress& of_all) override {
    return sse_comment("progress " + std::to_string(of_all.done_tok) + "/" +
                       std::to_string(of_all.total_tok));
  }

  std::string sign_of_life() override { return sse_event("ping", {{"type", "ping"}}); }

  std::string on_delta(std::size_t /*choice*/, const TextDelta& delta) override { return blocks_.say(delta); }

  std::string on_finish(std::size_t /*choice*/, const Finished& finished) override {
    return blocks_.close() +
           sse_event("message_delta",
                     {{"type", "message_delta"},
                      {"delta", anthropic_stop(finished)},
                      {"usage", anthropic_usage(prompt_tok_, finished.usage.completion_tok)}});
  }

  std::string end() override { return sse_event("message_stop", {{"type", "message_stop"}}); }

  std::string failure(const RequestError& error) override {
    return sse_event("error", anthropic_error(error));
  }

  HttpReply whole() override {
    const Choice& choice = choices().front();
    OrderedJson message = anthropic_message(id(), model_, anthropic_content(choice.said));
    message.update(anthropic_stop(*choice.finished));
    message["usage"] = anthropic_usage(prompt_tok_, choice.finished->usage.completion_tok);
    return json_reply(message);
  }

  HttpReply error_reply(const RequestError& error) override { return anthropic_error_reply(error); }

  const std::string model_;
  const std::uint64_t prompt_tok_;
  AnthropicBlocks blocks_;
};

Outcome messages(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  AnthropicRequest request = read_anthropic_request(body, context.limits, context.service.model());
  GenerationAnswer::Options options{"msg_" + http.id, http.sender.account,
                                    request.stream ? Delivery::streamed : Delivery::whole};
  auto sequences = chat_sequences(request.chat, std::move(request.settings), 1, options.id, http.sender.owner,
                                  context.limits, context.service);
  return StartAnswer([&context, options = std::move(options),
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    const auto prompt_tok = sequences.front().prompt.size();
    auto answer = std::make_unique<AnthropicAnswer>(context, prompt_tok, std::move(options));
    answer->submit(std::move(sequences), wake);
    return answer;
  });
}

Outcome count_tokens(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  const ChatRequest chat = read_anthropic_count(body, context.service.model());
  return json_reply({{"input_tokens", context.service.prepare_chat(chat).prompt.size()}});
}

}  // namespace

std::vector<Route> anthropic_routes(RouteContext& context) {
  return {{"POST", "/v1/messages",
           [&context](const HttpRequest& request, const std::string&) { return messages(context, request); }},
          {"POST", "/v1/messages/count_tokens", [&context](const HttpRequest& request, const std::string&) {
             return count_tokens(context, request);
           }}};
}

}  // namespace tandem::ipc
