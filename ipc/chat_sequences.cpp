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
  if (prepared.prompt.size() > limits.prompt_tok) {
    refuse_field("messages", "are " + std::to_string(prepared.prompt.size()) +
                                 " tokens, the limit prompt_tok is " + std::to_string(limits.prompt_tok));
  }
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

void check_tools(const Json& tools) {
  if (!tools.is_array()) refuse_field("tools", "must be an array");
  if (tools.size() <= kMaxTools) return;
  refuse_field("tools", "are " + std::to_string(tools.size()) + ", at most " + std::to_string(kMaxTools) +
                            " are taken");
}

bool has_tool(const std::vector<ChatTool>& tools, const std::string& name) {
  return std::ranges::any_of(tools, [&](const ChatTool& tool) { return tool.name == name; });
}

}  // namespace tandem::ipc
