#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "ipc/chat.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

// Members of POST /v1/chat/completions about what is said.  All throw RequestError 400 naming the member.

/// Content as a string or as an array of parts, each of which `read_part` reads or refuses; none for nullptr.
using PartReader = std::function<std::string(const Json& part, const std::string& where)>;
ChatMessage::Content read_openai_content(const Json* content, const std::string& where,
                                         const PartReader& read_part);

/// A part of a type that is not read.
[[noreturn]] void refuse_openai_part(const std::string& where, const std::string& type);

/// "messages": content as a string or as parts of type text; what is no text is refused by its type.
std::vector<ChatMessage> read_openai_messages(const Json* messages, std::size_t json_depth);

/// "tools"; nothing for nullptr.
std::vector<ChatTool> read_openai_tools(const Json* tools);

/// "tool_choice" where it is a word or absent, which is "auto"; nothing where it is an object.
std::optional<ToolChoice> read_tool_choice_word(const Json* choice, const std::vector<ChatTool>& tools);

/// "tool_choice": "none", "auto", "required" or a function of `tools`; nullptr is "auto".
ToolChoice read_openai_tool_choice(const Json* choice, const std::vector<ChatTool>& tools);

/// "response_format": text, json_object or json_schema; free for nullptr.
AnswerFormat read_openai_response_format(const Json* format);

}  // namespace tandem::ipc
