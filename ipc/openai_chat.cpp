#include "ipc/openai_chat.h"

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "ipc/chat_sequences.h"
#include "ipc/generation_answer.h"
#include "ipc/openai_chat_reply.h"
#include "ipc/openai_chat_request.h"
#include "ipc/openai_error.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

/// How the answer is to be written.
struct ChatStyle {
  std::size_t n = 1;
  bool include_usage = false;
  bool shows_logprobs = false;
  TokenNames names = TokenNames::text;
};

class ChatAnswer final : public GenerationAnswer {
 public:
  ChatAnswer(RouteContext& context, const ChatStyle& style, Options options)
      : GenerationAnswer(context, std::move(options)),
        style_(style),
        head_{id(), context.service.model().id, created_unix_s()} {}

 private:
  std::string begin() override {
    std::string bytes;
    for (std::size_t i = 0; i < style_.n; ++i) {
      bytes += chunk(chat_chunk_choice(i, {{"role", "assistant"}, {"content", ""}}, nullptr, nullptr));
    }
    return bytes;
  }

  std::string on_progress(const PromptProgress& of_all) override {
    return sse_comment("progress " + std::to_string(of_all.done_tok) + "/" +
                       std::to_string(of_all.total_tok));
  }

  std::string sign_of_life() override { return sse_comment("at work"); }

  /// Nothing for a delta that shows nothing.
  std::string on_delta(std::size_t i, const TextDelta& delta) override {
    OrderedJson shown = OrderedJson::object();
    if (!delta.reasoning.empty()) shown["reasoning_content"] = delta.reasoning;
    if (!delta.text.empty()) shown["content"] = delta.text;
    if (!delta.calls.empty()) {
      shown["tool_calls"] = streamed_tool_calls(delta.calls, calls_[i]);
      calls_[i] += delta.calls.size();
    }
    OrderedJson logprobs;
    if (style_.shows_logprobs && !delta.scores.empty()) logprobs = chat_logprobs(delta.scores, style_.names);
    if (shown.empty() && logprobs.is_null()) return {};
    return chunk(chat_chunk_choice(i, std::move(shown), std::move(logprobs), nullptr));
  }

  std::string on_finish(std::size_t i, const Finished& finished) override {
    return chunk(chat_chunk_choice(i, OrderedJson::object(), nullptr, &finished));
  }

  std::string end() override {
    std::string bytes;
    if (style_.include_usage) {
      OrderedJson object = chat_object(head_, kChunk, OrderedJson::array());
      object["usage"] = openai_usage(total_usage(choices(), style_.n));
      bytes = sse_event(object);
    }
    return bytes + kSseDone;
  }

  std::string failure(const RequestError& error) override {
    return sse_event(openai_error(error)) + kSseDone;
  }

  HttpReply whole() override {
    OrderedJson list = OrderedJson::array();
    for (const Choice& choice : choices()) {
      OrderedJson logprobs;
      if (style_.shows_logprobs) logprobs = chat_logprobs(choice.said.scores, style_.names);
      list.push_back(chat_choice(list.size(), choice, std::move(logprobs)));
    }
    OrderedJson body = chat_object(head_, "chat.completion", std::move(list));
    body["usage"] = openai_usage(total_usage(choices(), style_.n));
    return json_reply(body);
  }

  HttpReply error_reply(const RequestError& error) override { return openai_error_reply(error); }

  [[nodiscard]] std::string chunk(OrderedJson choice) const {
    OrderedJson object = chat_object(head_, kChunk, OrderedJson::array({std::move(choice)}));
    if (style_.include_usage) object["usage"] = nullptr;
    return sse_event(object);
  }

  static constexpr const char* kChunk = "chat.completion.chunk";

  const ChatStyle style_;
  const CompletionHead head_;
  std::map<std::size_t, std::size_t> calls_;  ///< streamed so far, by choice
};

/// The slow half: reads the body, renders, tokenises, compiles grammars.
Outcome prepare_chat(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  OpenaiChatRequest request = read_openai_chat_request(body, context.limits, context.service.model());
  const ChatStyle style{request.n, request.include_usage, request.settings.logprobs.has_value(),
                        request.names};
  GenerationAnswer::Options options{"chatcmpl-" + http.id, http.sender.account,
                                    request.stream ? Delivery::streamed : Delivery::whole};
  auto sequences = chat_sequences(request.chat, std::move(request.settings), request.n, options.id,
                                  http.sender.owner, context.limits, context.service);
  return StartAnswer([&context, style, options = std::move(options),
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    auto answer = std::make_unique<ChatAnswer>(context, style, std::move(options));
    answer->submit(std::move(sequences), wake);
    return answer;
  });
}

}  // namespace

std::vector<Route> openai_chat_routes(RouteContext& context) {
  return {{"POST", "/v1/chat/completions", [&context](const HttpRequest& request, const std::string&) {
             return prepare_chat(context, request);
           }}};
}

}  // namespace tandem::ipc
