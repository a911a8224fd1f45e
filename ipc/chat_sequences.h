#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "ipc/http.h"
#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The sequences that answer `chat`: `answers` of them, named after `id`, with the sampling values of
/// `settings` (its id, owner, prompt and rules are filled in).  Renders and tokenises, so it belongs on the
/// helper thread.  Throws RequestError.
std::vector<GenerationRequest> chat_sequences(const ChatRequest& chat, GenerationRequest settings,
                                              std::size_t answers, const std::string& id,
                                              const std::string& owner, const Limits& limits,
                                              Service& service);

/// A function's name as calls can carry it: 1 to 128 letters, digits and _ - . : /.
bool is_function_name(const std::string& name) noexcept;

/// In one request: each is compared with all others.
inline constexpr std::size_t kMaxTools = 1024;
/// "tools", each as `read_one` reads it, at most kMaxTools, no name twice; nothing for nullptr.
std::vector<ChatTool> read_tools(const Json* tools,
                                 ChatTool (*read_one)(const Json& json, const std::string& where));

/// OpenAI's members of a function: name, description, parameters, strict, and no others.  `where` is the
/// function's place.
ChatTool read_function(Fields& fields, const std::string& where);

/// "allowed_callers" of a tool: the model itself must be one, there is nobody else here.
void check_tool_callers(const Json* callers, const std::string& where);

/// Whether `name` is one of `tools`.
bool has_tool(const std::vector<ChatTool>& tools, const std::string& name);

}  // namespace tandem::ipc
