#include "ipc/openai_response_input.h"

#include <string>
#include <utility>

#include "ipc/chat_sequences.h"
#include "ipc/openai_chat_messages.h"
#include "ipc/openai_response_tools.h"

namespace tandem::ipc {

namespace {

std::string required_text(Fields& fields, const char* name, const std::string& where) {
  auto text = fields.text(name);
  if (!text) refuse_field(where + "." + name, "is required");
  return *text;
}

/// One part of a message, of a result or of a thought.
std::string read_part(const Json& part, const std::string& where) {
  Fields fields(part, where + ".");
  const auto type = fields.text("type").value_or("");
  const bool is_text = type == "input_text" || type == "output_text" || type == "summary_text" ||
                       type == "reasoning_text" || type == "text";
  if (!is_text && type != "refusal") refuse_openai_part(where, type);
  auto text = required_text(fields, is_text ? "text" : "refusal", where);
  for (const char* name : {"annotations", "logprobs", "prompt_cache_breakpoint"}) fields.value(name);
  fields.refuse_others();
  return text;
}

ChatMessage::Content read_content(const Json* content, const std::string& where) {
  return read_openai_content(content, where, read_part);
}

std::string joined(const ChatMessage::Content& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return *text;
  std::string all;
  if (const auto* parts = std::get_if<std::vector<std::string>>(&content)) {
    for (const std::string& part : *parts) all += part;
  }
  return all;
}

/// Reads items one after another into messages.
class InputReader {
 public:
  explicit InputReader(std::size_t json_depth) : json_depth_(json_depth) {}

  void read(const Json& item, const std::string& where) {
    Fields fields(item, where + ".");
    const auto type = fields.text("type").value_or("message");
    fields.text("id");
    fields.text("status");
    if (type == "message") {
      message(fields, where);
    } else if (type == "function_call") {
      call(fields, where);
    } else if (type == "function_call_output") {
      result(fields, where);
    } else if (type == "reasoning") {
      thought(fields, where);
    } else if (type == "item_reference") {
      refuse_field(where, "refers to an item, and nothing is kept here; send the item itself (store: false)");
    } else {
      refuse_field(where, "is of type '" + type + "', which is not read here");
    }
    fields.refuse_others();
  }

  std::vector<ChatMessage> take() { return std::move(messages_); }

 private:
  void message(Fields& fields, const std::string& where) {
    const auto role = fields.text("role").value_or("");
    fields.text("phase");
    auto content = read_content(fields.value("content"), where + ".content");
    if (std::holds_alternative<std::monostate>(content)) refuse_field(where + ".content", "is required");
    if (role == "assistant") {
      ChatMessage* open = open_turn();
      const bool fits =
          open != nullptr && open->calls.empty() && std::holds_alternative<std::monostate>(open->content);
      (fits ? *open : add(ChatRole::assistant)).content = std::move(content);
    } else if (role == "user" || role == "system" || role == "developer") {
      add(role == "user"     ? ChatRole::user
          : role == "system" ? ChatRole::system
                             : ChatRole::developer)
          .content = std::move(content);
    } else {
      refuse_field(where + ".role", "must be user, assistant, system or developer");
    }
  }

  void call(Fields& fields, const std::string& where) {
    PastCall past;
    past.id = required_text(fields, "call_id", where);
    past.name = required_text(fields, "name", where);
    past.name = joined_name(fields.text("namespace").value_or(""), past.name);
    fields.value("caller");
    if (!is_function_name(past.name)) refuse_field(where + ".name", "is not a function's name");
    const auto arguments = fields.text("arguments").value_or("");
    try {
      past.arguments = arguments.empty() ? Json::object() : parse_object(arguments, json_depth_);
    } catch (const RequestError&) {
      refuse_field(where + ".arguments", "must be the text of a JSON object");
    }
    ChatMessage* open = open_turn();
    (open != nullptr ? *open : add(ChatRole::assistant)).calls.push_back(std::move(past));
  }

  void result(Fields& fields, const std::string& where) {
    ChatMessage& message = add(ChatRole::tool);
    message.call_id = required_text(fields, "call_id", where);
    message.tool_name = joined_name(fields.text("namespace").value_or(""), fields.text("name").value_or(""));
    fields.value("caller");
    const Json* output = fields.value("output");
    if (output == nullptr) refuse_field(where + ".output", "is required");
    message.content = read_content(output, where + ".output");
  }

  /// The thought itself; where only its summary came, that.
  void thought(Fields& fields, const std::string& where) {
    const auto summary = joined(read_content(fields.value("summary"), where + ".summary"));
    const auto whole = joined(read_content(fields.value("content"), where + ".content"));
    fields.text("encrypted_content");
    add(ChatRole::assistant).reasoning = whole.empty() ? summary : whole;
  }

  ChatMessage& add(ChatRole role) {
    ChatMessage& message = messages_.emplace_back();
    message.role = role;
    return message;
  }

  /// The assistant's message that the last item was part of.
  ChatMessage* open_turn() {
    const bool open = !messages_.empty() && messages_.back().role == ChatRole::assistant;
    return open ? &messages_.back() : nullptr;
  }

  std::size_t json_depth_;
  std::vector<ChatMessage> messages_;
};

}  // namespace

std::vector<ChatMessage> read_response_input(const Json* instructions, const Json* input,
                                             std::size_t json_depth) {
  std::vector<ChatMessage> messages;
  if (instructions != nullptr) {
    if (!instructions->is_string()) refuse_field("instructions", "must be a string");
    ChatMessage& message = messages.emplace_back();
    message.role = ChatRole::system;
    message.content = instructions->get<std::string>();
  }
  if (input == nullptr) refuse_field("input", "is required");
  if (input->is_string()) {
    messages.emplace_back().content = input->get<std::string>();
    return messages;
  }
  if (!input->is_array() || input->empty()) refuse_field("input", "must be a string or an array of items");
  InputReader reader(json_depth);
  for (std::size_t i = 0; i < input->size(); ++i)
    reader.read((*input)[i], "input[" + std::to_string(i) + "]");
  for (ChatMessage& message : reader.take()) messages.push_back(std::move(message));
  return messages;
}

}  // namespace tandem::ipc
