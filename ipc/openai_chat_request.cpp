#include "ipc/openai_chat_request.h"

#include <optional>
#include <string>

#include "ipc/openai_chat_messages.h"
#include "ipc/sampling_fields.h"

namespace tandem::ipc {

namespace {

void read_lengths(Fields& fields, GenerationRequest& settings) {
  const auto old_name = fields.integer("max_tokens", 0, INT32_MAX);
  const auto limit = fields.integer("max_completion_tokens", 0, INT32_MAX);
  if (old_name && limit && *old_name != *limit) {
    refuse_field("max_tokens", "is the old name of 'max_completion_tokens' and differs from it");
  }
  settings.max_tokens = static_cast<std::uint32_t>(limit.value_or(old_name.value_or(INT32_MAX)));
}

void read_top_logprobs(Fields& fields, GenerationRequest& settings) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (top && !wanted) refuse_field("top_logprobs", "is only for requests with logprobs: true");
  if (wanted) settings.logprobs = static_cast<std::uint32_t>(top.value_or(0));
}

/// "reasoning_effort": thoughts come in one size, so all there is to say is whether there are any.
std::optional<bool> read_effort(Fields& fields) {
  const auto effort = fields.text("reasoning_effort");
  if (!effort) return std::nullopt;
  if (*effort == "none") return false;
  for (const char* some : {"minimal", "low", "medium", "high", "xhigh", "max"}) {
    if (*effort == some) return true;
  }
  refuse_field("reasoning_effort", "must be none, minimal, low, medium, high, xhigh or max");
}

std::optional<bool> read_template_switch(Fields& fields) {
  const Json* arguments = fields.value("chat_template_kwargs");
  if (arguments == nullptr) return std::nullopt;
  Fields inner(*arguments, "chat_template_kwargs.");
  const auto wanted = inner.boolean("enable_thinking");
  inner.refuse_others();
  return wanted;
}

Thinking read_thinking(Fields& fields, const ModelCard& card) {
  const auto effort = read_effort(fields);
  const auto wanted = read_template_switch(fields);
  if (effort && wanted && *effort != *wanted) {
    refuse_field("reasoning_effort", "and chat_template_kwargs.enable_thinking contradict each other");
  }
  const auto thinks = effort ? effort : wanted;
  if (!thinks) return Thinking::model_default;
  if (*thinks && !card.chat.empty() && !card.thinking) {
    refuse_field(effort ? "reasoning_effort" : "chat_template_kwargs.enable_thinking",
                 "asks for thoughts, which this model's chat format has no place for");
  }
  return *thinks ? Thinking::on : Thinking::off;
}

AnswerFormat read_response_format(Fields& fields) {
  AnswerFormat format = read_openai_response_format(fields.value("response_format"));
  AnswerFormat grammar = read_grammar_fields(fields);
  if (grammar.kind == AnswerFormat::Kind::free) return format;
  if (format.kind != AnswerFormat::Kind::free) {
    refuse_field(grammar.field, "and 'response_format' exclude each other");
  }
  return grammar;
}

/// Fields of the API that have no effect or one value here; clients that send that value are served.
void refuse_unsupported_chat_fields(Fields& fields) {
  for (const char* name : {"model", "user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention",
                           "service_tier", "verbosity"}) {
    fields.text(name);
  }
  fields.boolean("store");
  for (const char* name : {"metadata", "prediction", "prompt_cache_options"}) fields.value(name);
  const Json* modalities = fields.value("modalities");
  if (modalities != nullptr && *modalities != Json::array({"text"})) {
    refuse_field("modalities", "must be ['text']");
  }
  for (const char* name : {"functions", "function_call"}) {
    if (fields.value(name) != nullptr) {
      refuse_field(name, "is the old form of 'tools' and 'tool_choice', which are known here");
    }
  }
  for (const char* name : {"audio", "web_search_options"}) {
    if (fields.value(name) != nullptr) refuse_field(name, "is not supported; leave it out");
  }
}

}  // namespace

OpenaiChatRequest read_openai_chat_request(const Json& body, const Limits& limits, const ModelCard& card) {
  Fields fields(body);
  OpenaiChatRequest request;
  request.stream = fields.boolean("stream").value_or(false);
  request.include_usage = read_include_usage(fields, request.stream);
  request.n = static_cast<std::size_t>(fields.integer("n", 1, kMaxChoices).value_or(1));
  if (fields.boolean("return_tokens_as_token_ids").value_or(false)) request.names = TokenNames::ids;

  GenerationRequest& settings = request.settings;
  read_lengths(fields, settings);
  read_top_logprobs(fields, settings);
  read_sampling(fields, settings);
  settings.stop = read_stop(fields.value("stop"), "stop", limits);
  settings.logit_bias = read_logit_bias(fields.value("logit_bias"), card.vocab);

  ChatRequest& chat = request.chat;
  chat.thinking = read_thinking(fields, card);
  chat.format = read_response_format(fields);
  chat.tools = read_openai_tools(fields.value("tools"));
  chat.tool_choice = read_openai_tool_choice(fields.value("tool_choice"), chat.tools);
  chat.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  refuse_unsupported_chat_fields(fields);
  const Json* messages = fields.value("messages");
  fields.refuse_others();
  chat.messages = read_openai_messages(messages, limits.json_depth);
  return request;
}

}  // namespace tandem::ipc
