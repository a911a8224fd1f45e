#include "model/chat.h"

#include <algorithm>

#include "model/chat_gemma.h"

namespace tandem::model {

std::string_view name_of(Role role) noexcept {
  switch (role) {
    case Role::system:
      return "system";
    case Role::developer:
      return "developer";
    case Role::user:
      return "user";
    case Role::assistant:
      return "assistant";
    case Role::tool:
      return "tool";
  }
  return "";
}

std::string describe(std::span<const ChatMessage> messages, std::size_t index) {
  return "message " + std::to_string(index + 1) + " (" + std::string(name_of(messages[index].role)) + ")";
}

namespace {

void require_declared(const ChatOptions& options) {
  if (!options.forced_call) return;
  const auto& name = *options.forced_call;
  const bool declared = std::ranges::any_of(options.tools, [&](const ToolDeclaration& tool) {
    return name.empty() || tool.function.value("name", "") == name;
  });
  if (!declared) throw ChatError("the answer is to call a tool that is not declared: \"" + name + "\"");
}

}  // namespace

ChatPrompt render_chat(ChatTemplate format, std::span<const ChatMessage> messages,
                       const ChatOptions& options) {
  if (messages.empty()) throw ChatError("the conversation has no messages");
  require_declared(options);
  return format == ChatTemplate::gemma3 ? render_gemma3(messages, options)
                                        : render_gemma4(format, messages, options);
}

}  // namespace tandem::model
