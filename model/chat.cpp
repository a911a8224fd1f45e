#include "model/chat.h"

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

ChatPrompt render_chat(ChatTemplate format, std::span<const ChatMessage> messages,
                       const ChatOptions& options) {
  if (messages.empty()) throw ChatError("the conversation has no messages");
  return format == ChatTemplate::gemma3 ? render_gemma3(messages, options)
                                        : render_gemma4(format, messages, options);
}

}  // namespace tandem::model
