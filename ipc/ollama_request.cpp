#include "ipc/ollama_request.h"

#include <optional>
#include <utility>
#include <vector>

#include "ipc/chat_sequences.h"
#include "ipc/openai_chat_messages.h"
#include "ipc/sampling_fields.h"

namespace tandem::ipc {

namespace {

/// Where the model lives and how it is computed was decided when the daemon started.
void accept_loading_options(Fields& options, const ModelCard& card) {
  for (const char* name : {"numa", "low_vram", "f16_kv", "logits_all", "vocab_only", "use_mmap", "use_mlock",
                           "embedding_only"}) {
    options.boolean(name);
  }
  for (const char* name : {"num_batch", "num_gpu", "main_gpu", "num_thread", "num_keep"}) {
    options.integer(name, INT32_MIN, INT32_MAX);
  }
  const auto context = options.integer("num_ctx", 1, INT32_MAX);
  if (context && static_cast<std::uint64_t>(*context) > card.context_tok) {
    refuse_field("options.num_ctx", "is " + std::to_string(*context) + ", but the daemon runs with " +
                                        std::to_string(card.context_tok) +
                                        " tokens a sequence; start it with --context");
  }
}

/// Samplers that Tandem has not got are served where their value switches them off.
void refuse_other_samplers(Fields& options) {
  const auto only = [&](const char* name, double off) {
    const auto value = options.number(name, -1e9, 1e9);
    if (value && *value != off) {
      refuse_field("options." + std::string(name), "is not supported; leave it out or set it to " +
                                                       OrderedJson(static_cast<int>(off)).dump());
    }
  };
  only("mirostat", 0);
  only("tfs_z", 1);
  only("typical_p", 1);
  for (const char* name : {"mirostat_tau", "mirostat_eta"}) options.number(name, -1e9, 1e9);
  options.boolean("penalize_newline");
}

/// num_predict: -1 is no limit, -2 until the context is full, which is the same here.
std::uint32_t read_length(Fields& options) {
  const auto length = options.integer("num_predict", -2, INT32_MAX);
  return static_cast<std::uint32_t>(length && *length >= 0 ? *length : INT32_MAX);
}

void read_penalties(Fields& options, GenerationRequest& settings) {
  settings.repetition_penalty = as_float(options.number("repeat_penalty", 0.01, 10.0));
  settings.presence_penalty = as_float(options.number("presence_penalty", -2.0, 2.0));
  settings.frequency_penalty = as_float(options.number("frequency_penalty", -2.0, 2.0));
  // The penalties' window is the model's; none at all is the one other size that can be had.
  const auto window = options.integer("repeat_last_n", -1, INT32_MAX);
  if (window && *window == 0) {
    settings.repetition_penalty = 1.0f;
    settings.presence_penalty = 0.0f;
    settings.frequency_penalty = 0.0f;
  }
}

void read_options(const Json* object, const Limits& limits, const ModelCard& card,
                  GenerationRequest& settings) {
  settings.max_tokens = INT32_MAX;
  if (object == nullptr) return;
  Fields options(*object, "options.");
  settings.max_tokens = read_length(options);
  settings.temperature = as_float(options.number("temperature", 0.0, 2.0));
  settings.top_p = as_float(options.number("top_p", 0.0, 1.0));
  settings.min_p = as_float(options.number("min_p", 0.0, 1.0));
  if (const auto top_k = options.integer("top_k", -1, 1'000'000)) {
    settings.top_k = static_cast<std::uint32_t>(*top_k < 0 ? 0 : *top_k);
  }
  if (const auto seed = options.integer("seed", INT64_MIN, INT64_MAX)) {
    settings.seed = static_cast<std::uint64_t>(*seed);
  }
  read_penalties(options, settings);
  settings.stop = read_stop(options.value("stop"), "options.stop", limits);
  accept_loading_options(options, card);
  refuse_other_samplers(options);
  options.refuse_others();
}

void read_logprobs(Fields& fields, GenerationRequest& settings) {
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto top = fields.integer("top_logprobs", 0, 20);
  if (top && *top > 0 && !wanted) refuse_field("top_logprobs", "is only for requests with logprobs: true");
  if (wanted) settings.logprobs = static_cast<std::uint32_t>(top.value_or(0));
}

/// "keep_alive" says how long to keep a model that is always there.
void accept_keep_alive(Fields& fields) {
  const Json* time = fields.value("keep_alive");
  if (time != nullptr && !time->is_number() && !time->is_string()) {
    refuse_field("keep_alive", "must be a number or a string");
  }
}

void read_common(Fields& fields, const Limits& limits, const ModelCard& card, OllamaRequest& request) {
  request.model = fields.text("model").value_or("");
  if (request.model.empty()) refuse_field("model", "is required");
  request.stream = fields.boolean("stream").value_or(true);
  read_options(fields.value("options"), limits, card, request.settings);
  read_logprobs(fields, request.settings);
  accept_keep_alive(fields);
  for (const char* name : {"truncate", "shift"}) fields.boolean(name);
}

/// "", "json" or a JSON schema.
AnswerFormat read_format(Fields& fields) {
  AnswerFormat read;
  const Json* format = fields.value("format");
  // NOLINTNEXTLINE(readability-container-size-empty): an object may be empty() too
  if (format == nullptr || *format == "") return read;
  read.field = "format";
  if (*format == "json") {
    read.kind = AnswerFormat::Kind::json_object;
  } else if (format->is_object()) {
    read.kind = AnswerFormat::Kind::json_schema;
    read.schema = *format;
  } else {
    refuse_field("format", "must be 'json' or a JSON schema");
  }
  return read;
}

/// true, false, or how much: thoughts come in one size.
Thinking read_think(Fields& fields, const ModelCard& card) {
  const Json* think = fields.value("think");
  if (think == nullptr) return Thinking::model_default;
  const bool sized = *think == "low" || *think == "medium" || *think == "high" || *think == "max";
  if (!think->is_boolean() && !sized) {
    refuse_field("think", "must be true, false, 'low', 'medium', 'high' or 'max'");
  }
  if (!sized && !think->get<bool>()) return Thinking::off;
  if (!card.thinking) refuse_field("think", "asks for thoughts, which this model's format has no place for");
  return Thinking::on;
}

void refuse_images(Fields& fields, const std::string& where) {
  const Json* images = fields.value("images");
  if (images != nullptr && !(images->is_array() && images->empty())) {
    refuse_field(where, "are not read here, only text is");
  }
}

PastCall read_call(const Json& call, const std::string& where) {
  Fields fields(call, where + ".");
  PastCall past;
  past.id = fields.text("id").value_or("");
  fields.text("type");
  const Json* function = fields.value("function");
  fields.refuse_others();
  if (function == nullptr) refuse_field(where + ".function", "is required");
  Fields inner(*function, where + ".function.");
  past.name = inner.text("name").value_or("");
  if (!is_function_name(past.name)) refuse_field(where + ".function.name", "is not a function's name");
  inner.integer("index", 0, INT32_MAX);
  const Json* arguments = inner.value("arguments");
  past.arguments = arguments == nullptr ? Json::object() : *arguments;
  if (!past.arguments.is_object()) refuse_field(where + ".function.arguments", "must be an object");
  inner.refuse_others();
  return past;
}

ChatRole read_ollama_role(Fields& fields, const std::string& where) {
  const auto role = fields.text("role").value_or("");
  if (role == "system") return ChatRole::system;
  if (role == "user") return ChatRole::user;
  if (role == "assistant") return ChatRole::assistant;
  if (role == "tool") return ChatRole::tool;
  refuse_field(where + ".role", "must be system, user, assistant or tool");
}

std::vector<PastCall> read_calls(const Json* calls, const std::string& where) {
  std::vector<PastCall> past;
  if (calls == nullptr) return past;
  if (!calls->is_array()) refuse_field(where, "must be an array");
  for (const Json& call : *calls) {
    past.push_back(read_call(call, where + "[" + std::to_string(past.size()) + "]"));
  }
  return past;
}

ChatMessage read_message(const Json& json, const std::string& where) {
  Fields fields(json, where + ".");
  ChatMessage message;
  message.role = read_ollama_role(fields, where);
  message.content = fields.text("content").value_or("");
  refuse_images(fields, where + ".images");
  // Clients send whole messages back, in which members of other roles are there but empty.
  const auto text_of = [&](ChatRole role, const char* name) {
    auto text = fields.text(name).value_or("");
    if (!text.empty() && message.role != role) {
      refuse_field(where + "." + name, "does not belong to a message of this role");
    }
    return text;
  };
  message.reasoning = text_of(ChatRole::assistant, "thinking");
  message.tool_name = text_of(ChatRole::tool, "tool_name");
  message.call_id = text_of(ChatRole::tool, "tool_call_id");
  message.calls = read_calls(fields.value("tool_calls"), where + ".tool_calls");
  if (!message.calls.empty() && message.role != ChatRole::assistant) {
    refuse_field(where + ".tool_calls", "does not belong to a message of this role");
  }
  fields.refuse_others();
  return message;
}

}  // namespace

OllamaChatRequest read_ollama_chat_request(const Json& body, const Limits& limits, const ModelCard& card) {
  Fields fields(body);
  OllamaChatRequest request;
  read_common(fields, limits, card, request);
  request.chat.format = read_format(fields);
  request.chat.thinking = read_think(fields, card);
  request.chat.tools = read_openai_tools(fields.value("tools"));
  const Json* messages = fields.value("messages");
  fields.refuse_others();
  if (messages != nullptr && !messages->is_array()) refuse_field("messages", "must be an array of messages");
  for (std::size_t i = 0; messages != nullptr && i < messages->size(); ++i) {
    request.chat.messages.push_back(read_message((*messages)[i], "messages[" + std::to_string(i) + "]"));
  }
  return request;
}

OllamaGenerateRequest read_ollama_generate_request(const Json& body, const Limits& limits,
                                                   const ModelCard& card) {
  Fields fields(body);
  OllamaGenerateRequest request;
  read_common(fields, limits, card, request);
  request.prompt = fields.text("prompt").value_or("");
  request.system = fields.text("system").value_or("");
  request.raw = fields.boolean("raw").value_or(false);
  request.format = read_format(fields);
  request.thinking = read_think(fields, card);
  refuse_images(fields, "images");
  for (const char* name : {"suffix", "template"}) {
    if (!fields.text(name).value_or("").empty()) refuse_field(name, "is not supported; leave it out");
  }
  const Json* context = fields.value("context");
  if (context != nullptr && !(context->is_array() && context->empty())) {
    refuse_field("context", "is not supported; POST /api/chat takes the messages so far");
  }
  fields.refuse_others();
  if (request.raw && !request.system.empty()) refuse_field("system", "has no place in a raw prompt");
  if (request.raw && request.thinking == Thinking::on) {
    refuse_field("think", "has no meaning for a raw prompt");
  }
  return request;
}

}  // namespace tandem::ipc
