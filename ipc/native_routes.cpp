#include "ipc/native_routes.h"

#include <utility>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

const char* state_name(ServiceState state) {
  switch (state) {
    case ServiceState::loading:
      return "loading";
    case ServiceState::ok:
      return "ok";
    case ServiceState::draining:
      break;
  }
  return "draining";
}

/// 503 unless requests are taken, so that a probe needs no JSON.
Outcome health(Service& service) {
  const Health health = service.health();
  return json_reply(health_json(health), health.state == ServiceState::ok ? 200 : 503);
}

Outcome metrics(Service& service) {
  HttpReply reply;
  reply.content_type = "text/plain; version=0.0.4; charset=utf-8";
  reply.body = service.metrics_text();
  return reply;
}

Outcome plan(Service& service) {
  HttpReply reply;
  reply.body = service.plan_json();
  return reply;
}

Outcome requests(Service& service) {
  return json_reply({{"object", "list"}, {"data", requests_json(service.requests())}});
}

/// One's own requests; root may end anybody's.
Outcome cancel(RouteContext& context, const HttpRequest& request, const std::string& id) {
  const ActiveRequest* active = context.active.find(id);
  if (active == nullptr) {
    throw RequestError(404, kInvalidRequest, "there is no request '" + id + "'", {}, "request_not_found");
  }
  if (request.sender.account != active->account && !request.sender.root) {
    throw RequestError(403, "permission_error", "request '" + id + "' belongs to another user");
  }
  bool cancelled = false;
  for (const std::string& sequence : active->sequence_ids) {
    const bool wanted = sequence == id || sequence.rfind(id + "-", 0) == 0;
    if (wanted && context.service.cancel(sequence)) cancelled = true;
  }
  return json_reply({{"id", id}, {"object", "request"}, {"cancelled", cancelled}});
}

Outcome tokenize(RouteContext& context, const HttpRequest& request) {
  const Json body = parse_object(request.body, context.limits.json_depth);
  Fields fields(body);
  fields.text("model");
  const auto text = fields.text("prompt");
  const bool add_special = fields.boolean("add_special_tokens").value_or(true);
  const bool parse_special = fields.boolean("parse_special_tokens").value_or(true);
  fields.refuse_others();
  if (!text) refuse_field("prompt", "is required");
  const auto tokens = context.service.tokenize(*text, add_special, parse_special);
  check_prompt_tok("prompt", tokens.size(), context.limits);
  return json_reply(
      {{"tokens", tokens}, {"count", tokens.size()}, {"max_model_len", context.service.model().context_tok}});
}

Outcome detokenize(RouteContext& context, const HttpRequest& request) {
  const Json body = parse_object(request.body, context.limits.json_depth);
  Fields fields(body);
  fields.text("model");
  const Json* tokens = fields.value("tokens");
  fields.refuse_others();
  if (tokens == nullptr) refuse_field("tokens", "is required");
  if (!tokens->is_array()) refuse_field("tokens", "must be an array of token ids");
  std::vector<std::int32_t> ids;
  for (const Json& token : *tokens) {
    const bool fits =
        token.is_number_integer() && token.get<std::int64_t>() >= 0 && token.get<std::int64_t>() <= INT32_MAX;
    if (!fits) refuse_field("tokens", "must be an array of token ids, got " + to_text(OrderedJson(token)));
    ids.push_back(token.get<std::int32_t>());
  }
  return json_reply({{"prompt", context.service.detokenize(ids)}});
}

}  // namespace

OrderedJson health_json(const Health& health) {
  return {{"status", state_name(health.state)},
          {"load_progress", health.load_progress},
          {"uptime_s", health.uptime_s},
          {"version", health.version}};
}

OrderedJson requests_json(const std::vector<RequestInfo>& requests) {
  OrderedJson lines = OrderedJson::array();
  for (const RequestInfo& info : requests) {
    lines.push_back({{"id", info.id},
                     {"owner", info.owner},
                     {"state", info.state},
                     {"prompt_tokens", info.prompt_tok},
                     {"prompt_tokens_done", info.prompt_done_tok},
                     {"completion_tokens", info.completion_tok},
                     {"max_tokens", info.max_tok},
                     {"age_us", info.age_us}});
  }
  return lines;
}

std::vector<Route> native_routes(RouteContext& context) {
  Service& service = context.service;
  const auto get = [&service](const char* path, Outcome (*answer)(Service&)) {
    return Route{"GET", path,
                 [&service, answer](const HttpRequest&, const std::string&) { return answer(service); }};
  };
  const auto post = [&context](const char* path, Outcome (*answer)(RouteContext&, const HttpRequest&)) {
    return Route{"POST", path, [&context, answer](const HttpRequest& request, const std::string&) {
                   return answer(context, request);
                 }};
  };
  const Route remove{
      "DELETE", "/v1/requests/*",
      [&context](const HttpRequest& request, const std::string& id) { return cancel(context, request, id); }};
  return {get("/health", health),
          get("/metrics", metrics),
          get("/v1/plan", plan),
          get("/v1/requests", requests),
          post("/v1/tokenize", tokenize),
          post("/v1/detokenize", detokenize),
          remove};
}

}  // namespace tandem::ipc
