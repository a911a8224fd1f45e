#include "ipc/openai_models.h"

#include <chrono>

#include "ipc/ollama_reply.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

OrderedJson model_json(const ModelCard& card) {
  const std::chrono::system_clock::time_point loaded(std::chrono::seconds(card.created_unix_s));
  return {{"id", card.id},
          {"object", "model"},
          {"created", card.created_unix_s},
          {"owned_by", "tandem"},
          {"max_model_len", card.context_tok},
          {"vocab_size", card.vocab},
          {"chat", card.chat.empty() ? OrderedJson(nullptr) : OrderedJson(card.chat)},
          {"tools", card.tools},
          {"thinking", card.thinking},
          {"warnings", card.warnings},
          {"noise", card.noise},
          {"type", "model"},  // from here on as Anthropic's library reads it
          {"display_name", card.id},
          {"created_at", rfc3339(loaded)}};
}

HttpReply one_model(Service& service, const std::string& id) {
  const ModelCard card = service.model();
  if (card.id == id) return json_reply(model_json(card));
  throw RequestError(404, kInvalidRequest, "model '" + id + "' is not loaded; '" + card.id + "' is", "model",
                     "model_not_found");
}

}  // namespace

std::vector<Route> openai_model_routes(RouteContext& context) {
  Service& service = context.service;
  return {{"GET", "/v1/models",
           [&service](const HttpRequest&, const std::string&) -> Outcome {
             const ModelCard card = service.model();
             return json_reply({{"object", "list"},
                                {"data", OrderedJson::array({model_json(card)})},
                                {"has_more", false},
                                {"first_id", card.id},
                                {"last_id", card.id}});
           }},
          {"GET", "/v1/models/*", [&service](const HttpRequest&, const std::string& id) -> Outcome {
             return one_model(service, id);
           }}};
}

}  // namespace tandem::ipc
