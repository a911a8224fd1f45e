#include "ipc/ollama_models.h"

#include <chrono>
#include <string>
#include <utility>

#include "ipc/ollama_reply.h"

namespace tandem::ipc {

namespace {

using std::chrono::system_clock;

/// What never happens is written as a date that is far away: clients count down to it.
constexpr std::chrono::hours kFarAway{24 * 365 * 100};

/// Of Ollama, whose API this is: clients refuse versions that lacked what they use.
constexpr const char* kApiVersion = "0.12.11";

std::string loaded_at(const ModelCard& card) {
  return rfc3339(system_clock::time_point(std::chrono::seconds(card.created_unix_s)));
}

/// "11.8B", "7.1M": what people call a model's size.
std::string parameter_size(std::uint64_t parameters) {
  const bool billions = parameters >= 1'000'000'000;
  const auto tenths = (parameters / (billions ? 10'000'000 : 10'000) + 5) / 10;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + (billions ? "B" : "M");
}

OrderedJson details(const ModelCard& card) {
  return {{"parent_model", ""},
          {"format", "gguf"},
          {"family", card.family},
          {"families", OrderedJson::array({card.family})},
          {"parameter_size", parameter_size(card.parameters)},
          {"quantization_level", card.main_type}};
}

OrderedJson listed(const ModelCard& card) {
  return {{"name", card.id},           {"model", card.id},           {"modified_at", loaded_at(card)},
          {"size", card.tensor_bytes}, {"digest", card.fingerprint}, {"details", details(card)}};
}

OrderedJson running(Service& service) {
  const ModelCard card = service.model();
  const auto totals = OrderedJson::parse(service.plan_json()).at("plan").at("totals");
  const auto vram_bytes = totals.at("vram_bytes").get<std::uint64_t>();
  return {{"name", card.id},
          {"model", card.id},
          {"size", totals.at("ram_bytes").get<std::uint64_t>() + vram_bytes},
          {"digest", card.fingerprint},
          {"details", details(card)},
          {"expires_at", rfc3339(system_clock::now() + kFarAway)},
          {"size_vram", vram_bytes},
          {"context_length", card.context_tok}};
}

OrderedJson one_model(const OrderedJson& model) {
  return {{"models", OrderedJson::array({model})}};
}

OrderedJson capabilities(const ModelCard& card) {
  OrderedJson list = {"completion"};
  if (card.tools) list.push_back("tools");
  if (card.thinking) list.push_back("thinking");
  return list;
}

Outcome show(RouteContext& context, const HttpRequest& http) {
  const Json body = parse_object(http.body, context.limits.json_depth);
  Fields fields(body);
  const auto model = fields.text("model");
  const auto old_name = fields.text("name");
  fields.boolean("verbose");
  fields.refuse_others();
  if (!model && !old_name) refuse_field("model", "is required");
  const ModelCard card = context.service.model();
  return json_reply({{"modelfile", ""},
                     {"parameters", ""},
                     {"template", ""},
                     {"license", ""},
                     {"details", details(card)},
                     {"model_info",
                      {{"general.architecture", card.family},
                       {"general.basename", card.id},
                       {"general.parameter_count", card.parameters},
                       {card.family + ".context_length", card.context_tok},
                       {card.family + ".vocab_size", card.vocab}}},
                     {"capabilities", capabilities(card)},
                     {"modified_at", loaded_at(card)}});
}

}  // namespace

std::vector<Route> ollama_model_routes(RouteContext& context) {
  Service& service = context.service;
  return {{"GET", "/api/version",
           [&service](const HttpRequest&, const std::string&) -> Outcome {
             return json_reply({{"version", kApiVersion}, {"tandem", service.health().version}});
           }},
          {"GET", "/api/tags",
           [&service](const HttpRequest&, const std::string&) -> Outcome {
             return json_reply(one_model(listed(service.model())));
           }},
          {"GET", "/api/ps",
           [&service](const HttpRequest&, const std::string&) -> Outcome {
             return json_reply(one_model(running(service)));
           }},
          {"POST", "/api/show",
           [&context](const HttpRequest& request, const std::string&) { return show(context, request); }}};
}

}  // namespace tandem::ipc
