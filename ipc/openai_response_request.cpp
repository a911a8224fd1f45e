#include "ipc/openai_response_request.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "ipc/openai_response_input.h"
#include "ipc/sampling_fields.h"

namespace tandem::ipc {

namespace {

OrderedJson or_null(const Json* value) {
  return value == nullptr ? OrderedJson(nullptr) : *value;
}

void read_sampling_values(Fields& fields, GenerationRequest& settings) {
  settings.max_tokens =
      static_cast<std::uint32_t>(fields.integer("max_output_tokens", 1, INT32_MAX).value_or(INT32_MAX));
  settings.temperature = as_float(fields.number("temperature", 0.0, 2.0));
  settings.top_p = as_float(fields.number("top_p", 0.0, 1.0));
}

/// "reasoning": thoughts come in one size, so all there is to say is whether there are any.
Thinking read_reasoning(const Json* reasoning, const ModelCard& card) {
  if (reasoning == nullptr) return Thinking::model_default;
  Fields inner(*reasoning, "reasoning.");
  const auto effort = inner.text("effort");
  for (const char* name : {"summary", "generate_summary"}) inner.text(name);
  if (inner.text("context").value_or("auto") == "all_turns") {
    refuse_field("reasoning.context",
                 "cannot be 'all_turns': the model is shown the thoughts of its last turn");
  }
  if (inner.text("mode").value_or("standard") != "standard") {
    refuse_field("reasoning.mode", "must be 'standard'");
  }
  inner.refuse_others();
  if (!effort) return Thinking::model_default;
  if (*effort == "none") return Thinking::off;
  constexpr std::array<std::string_view, 6> kSome = {"minimal", "low", "medium", "high", "xhigh", "max"};
  if (std::ranges::find(kSome, *effort) == kSome.end()) {
    refuse_field("reasoning.effort", "must be none, minimal, low, medium, high, xhigh or max");
  }
  if (!card.chat.empty() && !card.thinking) {
    refuse_field("reasoning.effort", "asks for thoughts, which this model's chat format has no place for");
  }
  return Thinking::on;
}

AnswerFormat read_text_format(const Json* text) {
  AnswerFormat read;
  if (text == nullptr) return read;
  Fields inner(*text, "text.");
  inner.text("verbosity");
  const Json* format = inner.value("format");
  inner.refuse_others();
  if (format == nullptr) return read;
  read.field = "text.format";
  Fields fields(*format, "text.format.");
  const auto type = fields.text("type").value_or("");
  if (type == "json_object") read.kind = AnswerFormat::Kind::json_object;
  if (type == "json_schema") {
    for (const char* name : {"name", "description"}) fields.text(name);
    fields.boolean("strict");
    const Json* schema = fields.value("schema");
    if (schema == nullptr) refuse_field("text.format.schema", "is required");
    read.kind = AnswerFormat::Kind::json_schema;
    read.schema = *schema;
  }
  fields.refuse_others();
  if (type != "text" && read.kind == AnswerFormat::Kind::free) {
    refuse_field("text.format.type", "must be 'text', 'json_object' or 'json_schema'");
  }
  return read;
}

/// Members that have no effect here, or one value; clients that send that value are served.
void refuse_unsupported_response_fields(Fields& fields) {
  for (const char* name :
       {"user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "service_tier"}) {
    fields.text(name);
  }
  for (const char* name : {"client_metadata", "prompt_cache_options"}) fields.value(name);
  for (const char* name : {"conversation", "previous_response_id"}) {
    if (fields.value(name) != nullptr) {
      refuse_field(name, "is not supported: nothing is kept here; send the conversation in 'input'");
    }
  }
  if (fields.text("truncation").value_or("disabled") != "disabled") {
    refuse_field("truncation", "must be 'disabled': a conversation is never cut here");
  }
  if (fields.boolean("background").value_or(false)) refuse_field("background", "is not supported");
  if (fields.integer("top_logprobs", 0, 20).value_or(0) != 0) {
    refuse_field("top_logprobs", "is not supported; POST /v1/chat/completions has it");
  }
  if (fields.value("prompt") != nullptr) refuse_field("prompt", "is not supported; leave it out");
  fields.boolean("store");
  fields.integer("max_tool_calls", 1, INT32_MAX);
}

/// Further output that could be asked for: of what there is, nothing is left out anyway.
void read_include(const Json* include) {
  if (include == nullptr) return;
  if (!include->is_array()) refuse_field("include", "must be an array");
  for (const Json& one : *include) {
    const auto* name = one.get_ptr<const Json::string_t*>();
    if (name != nullptr && *name == "reasoning.encrypted_content") continue;  // thoughts are in the open
    refuse_field("include", "has " + one.dump() + ", which is not supported");
  }
}

void accept_stream_options(const Json* options) {
  if (options == nullptr) return;
  Fields inner(*options, "stream_options.");
  inner.boolean("include_obfuscation");
  inner.refuse_others();
}

}  // namespace

OpenaiResponseRequest read_openai_response_request(const Json& body, const Limits& limits,
                                                   const ModelCard& card) {
  Fields fields(body);
  OpenaiResponseRequest request;
  request.stream = fields.boolean("stream").value_or(false);
  read_sampling_values(fields, request.settings);
  ChatRequest& chat = request.chat;
  chat.thinking = read_reasoning(fields.value("reasoning"), card);
  chat.format = read_text_format(fields.value("text"));
  ResponseTools tools = read_response_tools(fields.value("tools"));
  chat.tools = std::move(tools.functions);
  request.spaced = std::move(tools.spaced);
  chat.tool_choice = read_response_tool_choice(fields.value("tool_choice"), chat.tools);
  chat.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  fields.text("model");
  refuse_unsupported_response_fields(fields);
  read_include(fields.value("include"));
  accept_stream_options(fields.value("stream_options"));
  const Json* instructions = fields.value("instructions");
  const Json* tool_choice = fields.value("tool_choice");
  const Json* text = fields.value("text");
  const Json* metadata = fields.value("metadata");
  const Json* input = fields.value("input");
  fields.refuse_others();
  chat.messages = read_response_input(instructions, input, limits.json_depth);
  OrderedJson& repeated = request.repeated;
  repeated["instructions"] = or_null(instructions);
  repeated["max_output_tokens"] = or_null(fields.value("max_output_tokens"));
  repeated["metadata"] = metadata == nullptr ? OrderedJson::object() : *metadata;
  repeated["parallel_tool_calls"] = chat.parallel_calls;
  repeated["previous_response_id"] = nullptr;
  repeated["reasoning"] = or_null(fields.value("reasoning"));
  repeated["store"] = false;
  repeated["temperature"] = or_null(fields.value("temperature"));
  repeated["text"] = or_null(text);
  if (text == nullptr) repeated["text"]["format"]["type"] = "text";
  repeated["tool_choice"] = tool_choice == nullptr ? OrderedJson("auto") : *tool_choice;
  repeated["tools"] = std::move(tools.shown);
  repeated["top_p"] = or_null(fields.value("top_p"));
  repeated["truncation"] = "disabled";
  return request;
}

}  // namespace tandem::ipc
