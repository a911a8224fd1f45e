#include "ipc/anthropic_request.h"

#include <optional>
#include <string>

#include "ipc/anthropic_content.h"
#include "ipc/openai_error.h"
#include "ipc/sampling_fields.h"

namespace tandem::ipc {

namespace {

Thinking read_thinking(Fields& fields, const ModelCard& card) {
  const Json* thinking = fields.value("thinking");
  if (thinking == nullptr) return Thinking::model_default;
  Fields inner(*thinking, "thinking.");
  const auto type = inner.text("type").value_or("");
  inner.integer("budget_tokens", 1, INT32_MAX);
  inner.text("display");
  inner.refuse_others();
  if (type == "disabled") return Thinking::off;
  if (type != "enabled" && type != "adaptive") {
    refuse_field("thinking.type", "must be enabled, adaptive or disabled");
  }
  if (!card.chat.empty() && !card.thinking) {
    refuse_field("thinking", "asks for thoughts, which this model's chat format has no place for");
  }
  return Thinking::on;
}

/// "output_config": how hard to try, which has no effect, and what the answer must look like.
AnswerFormat read_output_config(Fields& fields) {
  AnswerFormat read;
  const Json* config = fields.value("output_config");
  if (config == nullptr) return read;
  Fields inner(*config, "output_config.");
  inner.text("effort");
  const Json* format = inner.value("format");
  inner.refuse_others();
  if (format == nullptr) return read;
  Fields described(*format, "output_config.format.");
  if (described.text("type").value_or("") != "json_schema") {
    refuse_field("output_config.format.type", "must be 'json_schema'");
  }
  const Json* schema = described.value("schema");
  described.refuse_others();
  if (schema == nullptr) refuse_field("output_config.format.schema", "is required");
  read.kind = AnswerFormat::Kind::json_schema;
  read.schema = *schema;
  read.field = "output_config.format";
  return read;
}

void read_sampling_values(Fields& fields, const Limits& limits, GenerationRequest& settings) {
  const auto max_tokens = fields.integer("max_tokens", 1, INT32_MAX);
  if (!max_tokens) refuse_field("max_tokens", "is required");
  settings.max_tokens = static_cast<std::uint32_t>(*max_tokens);
  settings.temperature = as_float(fields.number("temperature", 0.0, 1.0));
  settings.top_p = as_float(fields.number("top_p", 0.0, 1.0));
  if (const auto top_k = fields.integer("top_k", 0, 1'000'000)) {
    settings.top_k = static_cast<std::uint32_t>(*top_k);
  }
  settings.stop = read_stop(fields.value("stop_sequences"), "stop_sequences", limits);
}

/// Thoughts of earlier turns are never shown to the model again: there is nothing to clear.  Other edits
/// would change what it is shown, and are refused.
void accept_clearing_of_thoughts(const Json* management) {
  if (management == nullptr) return;
  Fields inner(*management, "context_management.");
  const Json* edits = inner.value("edits");
  inner.refuse_others();
  if (edits == nullptr) return;
  if (!edits->is_array()) refuse_field("context_management.edits", "must be an array");
  for (std::size_t i = 0; i < edits->size(); ++i) {
    const std::string place = "context_management.edits[" + std::to_string(i) + "]";
    const auto type = Fields((*edits)[i], place + ".").text("type").value_or("");
    if (type != "clear_thinking_20251015") {
      refuse_field(place, "is of type '" + type + "'; only 'clear_thinking_20251015' is known here");
    }
  }
}

/// With this code the API's library sends the whole conversation instead.
void refuse_thread(const Json* thread) {
  if (thread == nullptr) return;
  throw RequestError(400, kInvalidRequest,
                     "'thread' is not supported: nothing is kept here; send the conversation in 'messages'",
                     "thread", "thread_unsupported_request");
}

/// Members of the API that have no effect here, or none that could be had.
void refuse_unsupported_message_fields(Fields& fields) {
  for (const char* name : {"metadata", "diagnostics"}) fields.value(name);
  fields.text("service_tier");
  accept_cache_control(fields);
  accept_clearing_of_thoughts(fields.value("context_management"));
  refuse_thread(fields.value("thread"));
  if (fields.text("speed").value_or("standard") != "standard") refuse_field("speed", "must be 'standard'");
  for (const char* name : {"container", "mcp_servers"}) {
    if (fields.value(name) != nullptr) refuse_field(name, "is not supported; leave it out");
  }
}

ChatRequest read_chat(Fields& fields, const ModelCard& card) {
  if (!fields.text("model")) refuse_field("model", "is required");
  ChatRequest chat;
  chat.thinking = read_thinking(fields, card);
  chat.format = read_output_config(fields);
  chat.tools = read_anthropic_tools(fields.value("tools"));
  read_anthropic_tool_choice(fields.value("tool_choice"), chat);
  refuse_unsupported_message_fields(fields);
  const Json* system = fields.value("system");
  const Json* messages = fields.value("messages");
  fields.refuse_others();
  chat.messages = read_anthropic_messages(system, messages);
  return chat;
}

}  // namespace

AnthropicRequest read_anthropic_request(const Json& body, const Limits& limits, const ModelCard& card) {
  Fields fields(body);
  AnthropicRequest request;
  request.stream = fields.boolean("stream").value_or(false);
  read_sampling_values(fields, limits, request.settings);
  request.chat = read_chat(fields, card);
  return request;
}

ChatRequest read_anthropic_count(const Json& body, const ModelCard& card) {
  Fields fields(body);
  return read_chat(fields, card);
}

}  // namespace tandem::ipc
