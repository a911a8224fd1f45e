#pragma once

#include <cstddef>
#include <vector>

#include "ipc/chat.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

// Members of POST /v1/responses about what is said.  All throw RequestError 400 naming the member.

/// "instructions" (the first message, of the system) and "input": a text, or items.  What an assistant
/// thought, said and called in consecutive items becomes one message.
std::vector<ChatMessage> read_response_input(const Json* instructions, const Json* input,
                                             std::size_t json_depth);

}  // namespace tandem::ipc
