#pragma once

#include <span>
#include <string>
#include <string_view>

#include "model/chat.h"

namespace tandem::model {

// The families' renderers, behind render_chat.

ChatPrompt render_gemma3(std::span<const ChatMessage> messages, const ChatOptions& options);
ChatPrompt render_gemma4(ChatTemplate revision, std::span<const ChatMessage> messages,
                         const ChatOptions& options);

/// As the conversation names it: "user", "assistant" ...
std::string_view name_of(Role role) noexcept;

/// "message 3 (user)", for errors.
std::string describe(std::span<const ChatMessage> messages, std::size_t index);

}  // namespace tandem::model
