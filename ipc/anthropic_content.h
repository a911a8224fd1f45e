#pragma once

#include <vector>

#include "ipc/chat.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

// Members of POST /v1/messages about what is said.  All throw RequestError 400 naming the member.

/// "system" (a text or blocks of text; nothing for nullptr) and "messages".  Results of calls, which stand in
/// a user's message, become messages of their own.
std::vector<ChatMessage> read_anthropic_messages(const Json* system, const Json* messages);

/// "tools" that the client runs; nothing for nullptr.
std::vector<ChatTool> read_anthropic_tools(const Json* tools);

/// Sets tool_choice and parallel_calls from "tool_choice"; nullptr leaves the choice to the model.
void read_anthropic_tool_choice(const Json* choice, ChatRequest& chat);

/// Accepts "cache_control", which has no effect.
void accept_cache_control(Fields& fields);

}  // namespace tandem::ipc
