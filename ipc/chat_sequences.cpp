#include "ipc/chat_sequences.h"

#include <algorithm>
#include <utility>

#include "ipc/sampling_fields.h"

namespace tandem::ipc {

std::vector<GenerationRequest> chat_sequences(const ChatRequest& chat, GenerationRequest settings,
                                              std::size_t answers, const std::string& id,
                                              const std::string& owner, const Limits& limits,
                                              Service& service) {
  PreparedChat prepared = service.prepare_chat(chat);
  check_prompt_tok("messages", prepared.prompt.size(), limits);
  settings.owner = owner;
  settings.prompt = std::move(prepared.prompt);
  settings.rules = std::move(prepared.rules);
  std::vector<GenerationRequest> sequences;
  add_choices(settings, answers, sequences);
  name_sequences(sequences, id);
  return sequences;
}

bool is_function_name(const std::string& name) noexcept {
  constexpr const char* kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";
  return !name.empty() && name.size() <= 128 && name.find_first_not_of(kAllowed) == std::string::npos;
}

std::vector<ChatTool> read_tools(const Json* tools,
                                 ChatTool (*read_one)(const Json& json, const std::string& where)) {
  if (tools == nullptr) return {};
  if (!tools->is_array()) refuse_field("tools", "must be an array");
  if (tools->size() > kMaxTools) {
    refuse_field("tools", "are " + std::to_string(tools->size()) + ", at most " + std::to_string(kMaxTools) +
                              " are taken");
  }
  std::vector<ChatTool> read;
  for (const Json& json : *tools) {
    ChatTool tool = read_one(json, "tools[" + std::to_string(read.size()) + "]");
    if (has_tool(read, tool.name)) refuse_field("tools", "has '" + tool.name + "' twice");
    read.push_back(std::move(tool));
  }
  return read;
}

ChatTool read_function(Fields& fields, const std::string& where) {
  ChatTool tool;
  tool.name = fields.text("name").value_or("");
  if (!is_function_name(tool.name))
    refuse_field(where + ".name", "must be 1 to 128 letters, digits and _ - . : /");
  tool.description = fields.text("description").value_or("");
  if (const Json* parameters = fields.value("parameters")) {
    if (!parameters->is_object()) refuse_field(where + ".parameters", "must be a JSON schema");
    tool.parameters = *parameters;
  }
  tool.strict = fields.boolean("strict").value_or(false);
  fields.refuse_others();
  return tool;
}

void check_tool_callers(const Json* callers, const std::string& where) {
  if (callers == nullptr) return;
  for (const Json& caller : *callers) {
    if (caller == "direct") return;
  }
  refuse_field(where, "must have 'direct': no program is run here");
}

bool has_tool(const std::vector<ChatTool>& tools, const std::string& name) {
  return std::ranges::any_of(tools, [&](const ChatTool& tool) { return tool.name == name; });
}

}  // namespace tandem::ipc
