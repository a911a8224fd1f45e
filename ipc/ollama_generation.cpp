#include "ipc/ollama_generation.h"

#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "ipc/chat_sequences.h"
#include "ipc/generation_answer.h"
#include "ipc/ollama_error.h"
#include "ipc/ollama_reply.h"
#include "ipc/ollama_request.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

/// How the answer is to be written.
struct ReplyStyle {
  OllamaKind kind = OllamaKind::chat;
  std::string model;
  bool scored = false;
};

class OllamaAnswer final : public GenerationAnswer {
 public:
  OllamaAnswer(RouteContext& context, ReplyStyle style, Options options)
      : GenerationAnswer(context, std::move(options)), style_(std::move(style)) {}

 private:
  /// Nothing for a delta that shows nothing.
  std::string on_delta(std::size_t /*choice*/, const TextDelta& delta) override {
    if (delta.text.empty() && delta.reasoning.empty() && delta.calls.empty() && delta.scores.empty()) {
      return {};
    }
    OrderedJson object = head();
    add_ollama_text(object, style_.kind, delta, style_.scored, calls_);
    calls_ += delta.calls.size();
    add_ollama_more(object);
    return json_line(object);
  }

  std::string on_finish(std::size_t /*choice*/, const Finished& finished) override {
    OrderedJson object = head();
    add_ollama_text(object, style_.kind, {}, style_.scored);
    add_ollama_end(object, finished);
    return json_line(object);
  }

  std::string end() override { return {}; }

  std::string failure(const RequestError& error) override { return json_line(ollama_error(error)); }

  HttpReply whole() override {
    const Choice& choice = choices().front();
    OrderedJson object = head();
    add_ollama_text(object, style_.kind, choice.said, style_.scored);
    add_ollama_end(object, *choice.finished);
    return json_reply(object);
  }

  HttpReply error_reply(const RequestError& error) override { return ollama_error_reply(error); }

  [[nodiscard]] OrderedJson head() const {
    return ollama_head(style_.model, std::chrono::system_clock::now());
  }

  const ReplyStyle style_;
  std::size_t calls_ = 0;  ///< streamed so far
};

/// What a client gets that sends no prompt, to have the model loaded.
HttpReply loaded_reply(OllamaKind kind, const std::string& model) {
  OrderedJson object = ollama_head(model, std::chrono::system_clock::now());
  add_ollama_text(object, kind, {}, false);
  object["done"] = true;
  object["done_reason"] = "load";
  return json_reply(object);
}

Outcome start(RouteContext& context, const HttpRequest& http, const OllamaRequest& request, OllamaKind kind,
              std::vector<GenerationRequest> sequences) {
  const ReplyStyle style{kind, request.model, request.settings.logprobs.has_value()};
  GenerationAnswer::Options options{sequences.front().id, http.sender.account,
                                    request.stream ? Delivery::streamed : Delivery::whole, kJsonLinesType};
  return StartAnswer([&context, style, options = std::move(options),
                      sequences = std::move(sequences)](const Wake& wake) mutable -> std::unique_ptr<Answer> {
    auto answer = std::make_unique<OllamaAnswer>(context, style, std::move(options));
    answer->submit(std::move(sequences), wake);
    return answer;
  });
}

Outcome chat(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  OllamaChatRequest request = read_ollama_chat_request(body, context.limits, context.service.model());
  if (request.chat.messages.empty()) return loaded_reply(OllamaKind::chat, request.model);
  auto sequences = chat_sequences(request.chat, request.settings, 1, "ollama-" + http.id, http.sender.owner,
                                  context.limits, context.service);
  return start(context, http, request, OllamaKind::chat, std::move(sequences));
}

/// A prompt becomes the one message of a user, unless it is raw or the model cannot chat.
std::vector<GenerationRequest> prompt_sequences(RouteContext& context, const HttpRequest& http,
                                                const OllamaGenerateRequest& request) {
  Service& service = context.service;
  const std::string id = "ollama-" + http.id;
  if (!request.raw && !service.model().chat.empty()) {
    ChatRequest chat;
    if (!request.system.empty()) chat.messages.push_back({ChatRole::system, request.system, {}, {}, {}, {}});
    chat.messages.push_back({ChatRole::user, request.prompt, {}, {}, {}, {}});
    chat.thinking = request.thinking;
    chat.format = request.format;
    return chat_sequences(chat, request.settings, 1, id, http.sender.owner, context.limits, service);
  }
  if (!request.system.empty()) refuse_field("system", "needs a chat format, which this model has not got");
  GenerationRequest sequence = request.settings;
  sequence.id = id;
  sequence.owner = http.sender.owner;
  sequence.prompt = service.prepare_prompt(request.prompt);
  sequence.rules = service.prepare_format(request.format);
  check_prompt_tok("prompt", sequence.prompt.size(), context.limits);
  return {std::move(sequence)};
}

Outcome generate(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  const auto request = read_ollama_generate_request(body, context.limits, context.service.model());
  if (request.prompt.empty()) return loaded_reply(OllamaKind::generate, request.model);
  return start(context, http, request, OllamaKind::generate, prompt_sequences(context, http, request));
}

}  // namespace

std::vector<Route> ollama_generation_routes(RouteContext& context) {
  return {{"POST", "/api/chat",
           [&context](const HttpRequest& request, const std::string&) { return chat(context, request); }},
          {"POST", "/api/generate", [&context](const HttpRequest& request, const std::string&) {
             return generate(context, request);
           }}};
}

}  // namespace tandem::ipc
