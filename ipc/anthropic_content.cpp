#include "ipc/anthropic_content.h"

#include <string>
#include <utility>

#include "ipc/chat_sequences.h"

namespace tandem::ipc {

namespace {

std::string type_of(Fields& fields, const std::string& where) {
  auto type = fields.text("type");
  if (!type) refuse_field(where + ".type", "is required");
  return *type;
}

std::string required_text(Fields& fields, const char* name, const std::string& where) {
  auto text = fields.text(name);
  if (!text) refuse_field(where + "." + name, "is required");
  return *text;
}

[[noreturn]] void refuse_block(const std::string& where, const std::string& type) {
  refuse_field(where, "is of type '" + type + "', which is not read here");
}

std::string read_text_block(Fields& fields, const std::string& where) {
  auto text = required_text(fields, "text", where);
  accept_cache_control(fields);
  fields.value("citations");
  fields.refuse_others();
  return text;
}

/// A tool that a client's search found.  All tools are shown from the start, so it is enough to name it.
std::string read_tool_reference(Fields& fields, const std::string& where) {
  auto name = required_text(fields, "tool_name", where);
  accept_cache_control(fields);
  fields.refuse_others();
  return "tool: " + name + "\n";
}

/// What the array of blocks called `content` may hold.
enum class Blocks { texts, results };

/// A text, or an array of blocks.
ChatMessage::Content read_texts(const Json* content, const std::string& where, Blocks blocks) {
  if (content == nullptr) return {};
  if (content->is_string()) return content->get<std::string>();
  if (!content->is_array()) refuse_field(where, "must be a string or an array of blocks");
  std::vector<std::string> parts;
  for (const Json& block : *content) {
    const std::string place = where + "[" + std::to_string(parts.size()) + "]";
    Fields fields(block, place + ".");
    const auto type = type_of(fields, place);
    if (type == "text") {
      parts.push_back(read_text_block(fields, place));
    } else if (type == "tool_reference" && blocks == Blocks::results) {
      parts.push_back(read_tool_reference(fields, place));
    } else {
      refuse_block(place, type);
    }
  }
  return parts;
}

/// What a result's "is_error" says has no place in the chat formats, so it is put before the text.
ChatMessage::Content marked_as_error(ChatMessage::Content content) {
  constexpr const char* kMark = "error: ";
  if (auto* text = std::get_if<std::string>(&content)) {
    text->insert(0, kMark);
    return content;
  }
  auto* parts = std::get_if<std::vector<std::string>>(&content);
  if (parts == nullptr || parts->empty()) return std::string("error");
  parts->front().insert(0, kMark);
  return content;
}

ChatMessage read_tool_result(Fields& fields, const std::string& where) {
  ChatMessage message;
  message.role = ChatRole::tool;
  message.call_id = required_text(fields, "tool_use_id", where);
  message.content = read_texts(fields.value("content"), where + ".content", Blocks::results);
  if (fields.boolean("is_error").value_or(false)) {
    message.content = marked_as_error(std::move(message.content));
  } else if (std::holds_alternative<std::monostate>(message.content)) {
    message.content = std::string();
  }
  accept_cache_control(fields);
  fields.refuse_others();
  return message;
}

PastCall read_tool_use(Fields& fields, const std::string& where) {
  PastCall call;
  call.id = required_text(fields, "id", where);
  call.name = required_text(fields, "name", where);
  if (!is_function_name(call.name)) refuse_field(where + ".name", "is not a function's name");
  const Json* input = fields.value("input");
  call.arguments = input == nullptr ? Json::object() : *input;
  if (!call.arguments.is_object()) refuse_field(where + ".input", "must be an object");
  accept_cache_control(fields);
  fields.value("caller");
  fields.refuse_others();
  return call;
}

std::string read_thinking(Fields& fields, const std::string& where) {
  auto text = required_text(fields, "thinking", where);
  fields.text("signature");
  fields.refuse_others();
  return text;
}

/// Texts and results in their order: texts between results are messages of their own.
void read_user_blocks(const Json& blocks, const std::string& where, std::vector<ChatMessage>& messages) {
  std::vector<std::string> texts;
  const auto flush = [&] {
    if (texts.empty()) return;
    ChatMessage& message = messages.emplace_back();
    message.content = std::exchange(texts, {});
  };
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string place = where + "[" + std::to_string(i) + "]";
    Fields fields(blocks[i], place + ".");
    const auto type = type_of(fields, place);
    if (type == "text") {
      texts.push_back(read_text_block(fields, place));
    } else if (type == "tool_result") {
      flush();
      messages.push_back(read_tool_result(fields, place));
    } else {
      refuse_block(place, type);
    }
  }
  flush();
}

ChatMessage read_assistant_blocks(const Json& blocks, const std::string& where) {
  ChatMessage message;
  message.role = ChatRole::assistant;
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const std::string place = where + "[" + std::to_string(i) + "]";
    Fields fields(blocks[i], place + ".");
    const auto type = type_of(fields, place);
    if (type == "text") {
      texts.push_back(read_text_block(fields, place));
    } else if (type == "tool_use") {
      message.calls.push_back(read_tool_use(fields, place));
    } else if (type == "thinking") {
      message.reasoning += read_thinking(fields, place);
    } else {
      refuse_block(place, type);
    }
  }
  if (!texts.empty()) message.content = std::move(texts);
  return message;
}

void read_message(const Json& json, const std::string& where, std::vector<ChatMessage>& messages) {
  Fields fields(json, where + ".");
  const auto role = fields.text("role").value_or("");
  const Json* content = fields.value("content");
  fields.refuse_others();
  if (role != "user" && role != "assistant" && role != "system") {
    refuse_field(where + ".role", "must be user, assistant or system");
  }
  if (content == nullptr) refuse_field(where + ".content", "is required");
  const std::string place = where + ".content";
  if (content->is_string() || role == "system") {
    ChatMessage& message = messages.emplace_back();
    message.role = role == "user"     ? ChatRole::user
                   : role == "system" ? ChatRole::system
                                      : ChatRole::assistant;
    message.content = read_texts(content, place, Blocks::texts);
    return;
  }
  if (!content->is_array() || content->empty()) {
    refuse_field(place, "must be a string or an array of blocks");
  }
  if (role == "user") {
    read_user_blocks(*content, place, messages);
  } else {
    messages.push_back(read_assistant_blocks(*content, place));
  }
}

ChatTool read_anthropic_tool(const Json& json, const std::string& where) {
  Fields fields(json, where + ".");
  const auto type = fields.text("type").value_or("custom");
  if (type != "custom") {
    refuse_field(where + ".type", "is '" + type + "'; only tools that the client runs are known here");
  }
  ChatTool tool;
  tool.name = fields.text("name").value_or("");
  if (!is_function_name(tool.name)) {
    refuse_field(where + ".name", "must be 1 to 128 letters, digits and _ - . : /");
  }
  tool.description = fields.text("description").value_or("");
  const Json* schema = fields.value("input_schema");
  if (schema == nullptr) refuse_field(where + ".input_schema", "is required");
  if (!schema->is_object()) refuse_field(where + ".input_schema", "must be a JSON schema");
  tool.parameters = *schema;
  tool.strict = fields.boolean("strict").value_or(false);
  accept_cache_control(fields);
  for (const char* name : {"eager_input_streaming", "defer_loading"}) fields.boolean(name);
  check_tool_callers(fields.value("allowed_callers"), where + ".allowed_callers");
  fields.value("input_examples");
  fields.refuse_others();
  return tool;
}

}  // namespace

void accept_cache_control(Fields& fields) {
  fields.value("cache_control");
}

std::vector<ChatMessage> read_anthropic_messages(const Json* system, const Json* messages) {
  if (messages == nullptr) refuse_field("messages", "is required");
  if (!messages->is_array() || messages->empty()) refuse_field("messages", "must be an array of messages");
  std::vector<ChatMessage> read;
  if (system != nullptr) {
    ChatMessage& message = read.emplace_back();
    message.role = ChatRole::system;
    message.content = read_texts(system, "system", Blocks::texts);
  }
  for (std::size_t i = 0; i < messages->size(); ++i) {
    read_message((*messages)[i], "messages[" + std::to_string(i) + "]", read);
  }
  if (read.back().role == ChatRole::assistant) {
    refuse_field("messages", "end with the assistant's; an answer that is begun cannot be continued here");
  }
  return read;
}

std::vector<ChatTool> read_anthropic_tools(const Json* tools) {
  return read_tools(tools, read_anthropic_tool);
}

void read_anthropic_tool_choice(const Json* choice, ChatRequest& chat) {
  using Mode = ToolChoice::Mode;
  if (choice == nullptr) return;
  Fields fields(*choice, "tool_choice.");
  const auto type = fields.text("type").value_or("");
  const auto name = fields.text("name");
  chat.parallel_calls = !fields.boolean("disable_parallel_tool_use").value_or(false);
  fields.refuse_others();
  if (type == "auto") {
    chat.tool_choice.mode = Mode::automatic;
  } else if (type == "none") {
    chat.tool_choice.mode = Mode::none;
  } else if (type == "any") {
    chat.tool_choice.mode = Mode::required;
    if (chat.tools.empty()) refuse_field("tool_choice", "requires a call, but there are no tools");
  } else if (type == "tool") {
    chat.tool_choice = {Mode::named, name.value_or("")};
    if (!has_tool(chat.tools, chat.tool_choice.name)) {
      refuse_field("tool_choice.name", "'" + chat.tool_choice.name + "' is not one of the tools");
    }
  } else {
    refuse_field("tool_choice.type", "must be auto, any, tool or none");
  }
}

}  // namespace tandem::ipc
