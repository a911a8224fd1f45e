#include "ipc/openai_chat_messages.h"

#include <string>
#include <utility>

#include "ipc/chat_sequences.h"

namespace tandem::ipc {

namespace {

ChatRole read_role(Fields& fields, const std::string& where) {
  const auto role = fields.text("role").value_or("");
  if (role == "system") return ChatRole::system;
  if (role == "developer") return ChatRole::developer;
  if (role == "user") return ChatRole::user;
  if (role == "assistant") return ChatRole::assistant;
  if (role == "tool") return ChatRole::tool;
  refuse_field(where + ".role", "must be system, developer, user, assistant or tool");
}

std::string read_part(const Json& part, const std::string& where) {
  Fields fields(part, where + ".");
  const auto type = fields.text("type").value_or("");
  if (type != "text" && type != "refusal") refuse_openai_part(where, type);
  const auto text = fields.text(type);
  fields.value("prompt_cache_breakpoint");
  fields.refuse_others();
  if (!text) refuse_field(where + "." + type, "is required");
  return *text;
}

/// Arguments come as text; some clients send nothing for none.
Json read_arguments(const std::string& text, const std::string& where, std::size_t json_depth) {
  if (text.empty()) return Json::object();
  try {
    return parse_object(text, json_depth);
  } catch (const RequestError&) {
    refuse_field(where, "must be the text of a JSON object");
  }
}

PastCall read_call(const Json& call, const std::string& where, std::size_t json_depth) {
  Fields fields(call, where + ".");
  if (fields.text("type").value_or("function") != "function") {
    refuse_field(where + ".type", "must be 'function'");
  }
  PastCall past;
  past.id = fields.text("id").value_or("");
  fields.value("index");  // which some clients keep from a stream
  const Json* function = fields.value("function");
  fields.refuse_others();
  if (function == nullptr) refuse_field(where + ".function", "is required");
  Fields inner(*function, where + ".function.");
  past.name = inner.text("name").value_or("");
  if (!is_function_name(past.name)) refuse_field(where + ".function.name", "is not a function's name");
  past.arguments =
      read_arguments(inner.text("arguments").value_or(""), where + ".function.arguments", json_depth);
  inner.refuse_others();
  return past;
}

std::vector<PastCall> read_calls(const Json* calls, const std::string& where, std::size_t json_depth) {
  if (calls == nullptr) return {};
  if (!calls->is_array()) refuse_field(where, "must be an array");
  std::vector<PastCall> past;
  for (const Json& call : *calls) {
    past.push_back(read_call(call, where + "[" + std::to_string(past.size()) + "]", json_depth));
  }
  return past;
}

/// What is about one role only is no field of the others.
void read_assistant(Fields& fields, const std::string& where, std::size_t json_depth, ChatMessage& message) {
  auto reasoning = fields.text("reasoning_content");
  const auto other_name = fields.text("reasoning");  // of other servers
  if (!reasoning) reasoning = other_name;
  message.reasoning = reasoning.value_or("");
  message.calls = read_calls(fields.value("tool_calls"), where + ".tool_calls", json_depth);
  fields.text("refusal");
  fields.value("annotations");
  for (const char* name : {"audio", "function_call"}) {
    if (fields.value(name) != nullptr) refuse_field(where + "." + name, "is not supported; leave it out");
  }
}

ChatMessage read_message(const Json& json, const std::string& where, std::size_t json_depth) {
  Fields fields(json, where + ".");
  ChatMessage message;
  message.role = read_role(fields, where);
  message.content = read_openai_content(fields.value("content"), where + ".content", read_part);
  const auto name = fields.text("name");
  if (message.role == ChatRole::assistant) read_assistant(fields, where, json_depth, message);
  if (message.role == ChatRole::tool) {
    message.call_id = fields.text("tool_call_id").value_or("");
    message.tool_name = name.value_or("");
  }
  fields.refuse_others();
  const bool empty = std::holds_alternative<std::monostate>(message.content);
  if (empty && message.role != ChatRole::assistant) refuse_field(where + ".content", "is required");
  return message;
}

ChatTool read_chat_tool(const Json& json, const std::string& where) {
  Fields fields(json, where + ".");
  const auto type = fields.text("type").value_or("");
  if (type != "function") refuse_field(where + ".type", "is '" + type + "'; only 'function' is known here");
  const Json* function = fields.value("function");
  fields.refuse_others();
  if (function == nullptr) refuse_field(where + ".function", "is required");
  Fields inner(*function, where + ".function.");
  return read_function(inner, where + ".function");
}

}  // namespace

ChatMessage::Content read_openai_content(const Json* content, const std::string& where,
                                         const PartReader& read_part) {
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) refuse_field(where, "must be a string or an array of parts");
  std::vector<std::string> parts;
  for (const Json& part : *content) {
    parts.push_back(read_part(part, where + "[" + std::to_string(parts.size()) + "]"));
  }
  return parts;
}

void refuse_openai_part(const std::string& where, const std::string& type) {
  refuse_field(where, "is of type '" + type + "'; only text is read here, no images, sound or files");
}

std::vector<ChatMessage> read_openai_messages(const Json* messages, std::size_t json_depth) {
  if (messages == nullptr) refuse_field("messages", "is required");
  if (!messages->is_array() || messages->empty()) refuse_field("messages", "must be an array of messages");
  std::vector<ChatMessage> read;
  for (const Json& message : *messages) {
    read.push_back(read_message(message, "messages[" + std::to_string(read.size()) + "]", json_depth));
  }
  return read;
}

std::vector<ChatTool> read_openai_tools(const Json* tools) {
  return read_tools(tools, read_chat_tool);
}

std::optional<ToolChoice> read_tool_choice_word(const Json* choice, const std::vector<ChatTool>& tools) {
  using Mode = ToolChoice::Mode;
  if (choice == nullptr || *choice == "auto") return ToolChoice{Mode::automatic, {}};
  if (*choice == "none") return ToolChoice{Mode::none, {}};
  if (*choice == "required") {
    if (tools.empty()) refuse_field("tool_choice", "requires a call, but there are no tools");
    return ToolChoice{Mode::required, {}};
  }
  if (!choice->is_object()) {
    refuse_field("tool_choice", "must be 'none', 'auto', 'required' or an object naming a function");
  }
  return std::nullopt;
}

ToolChoice read_openai_tool_choice(const Json* choice, const std::vector<ChatTool>& tools) {
  if (const auto word = read_tool_choice_word(choice, tools)) return *word;
  Fields fields(*choice, "tool_choice.");
  if (fields.text("type").value_or("") != "function") refuse_field("tool_choice.type", "must be 'function'");
  const Json* function = fields.value("function");
  fields.refuse_others();
  if (function == nullptr) refuse_field("tool_choice.function", "is required");
  Fields inner(*function, "tool_choice.function.");
  auto name = inner.text("name").value_or("");
  inner.refuse_others();
  if (!has_tool(tools, name))
    refuse_field("tool_choice.function.name", "'" + name + "' is not one of the tools");
  return {ToolChoice::Mode::named, std::move(name)};
}

AnswerFormat read_openai_response_format(const Json* format) {
  AnswerFormat read;
  if (format == nullptr) return read;
  read.field = "response_format";
  Fields fields(*format, "response_format.");
  const auto type = fields.text("type").value_or("");
  if (type == "json_object") read.kind = AnswerFormat::Kind::json_object;
  if (type == "json_schema") {
    const Json* described = fields.value("json_schema");
    if (described == nullptr) refuse_field("response_format.json_schema", "is required");
    Fields inner(*described, "response_format.json_schema.");
    for (const char* name : {"name", "description"}) inner.text(name);
    inner.boolean("strict");
    const Json* schema = inner.value("schema");
    inner.refuse_others();
    if (schema == nullptr) refuse_field("response_format.json_schema.schema", "is required");
    read.kind = AnswerFormat::Kind::json_schema;
    read.schema = *schema;
  }
  fields.refuse_others();
  if (type != "text" && read.kind == AnswerFormat::Kind::free) {
    refuse_field("response_format.type", "must be 'text', 'json_object' or 'json_schema'");
  }
  return read;
}

}  // namespace tandem::ipc
