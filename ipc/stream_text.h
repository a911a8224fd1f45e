#pragma once

#include <string>
#include <string_view>

#include "ipc/json_fields.h"

namespace tandem::ipc {

/// One server-sent event.
std::string sse_event(const OrderedJson& data);
/// One with a name, as Anthropic's and OpenAI's Responses have them.
std::string sse_event(std::string_view name, const OrderedJson& data);
/// A server-sent comment, which clients ignore.
std::string sse_comment(std::string_view text);
/// How OpenAI's streams end.
inline constexpr const char* kSseDone = "data: [DONE]\n\n";
inline constexpr const char* kSseType = "text/event-stream; charset=utf-8";

/// One line of newline-delimited JSON, as Ollama streams it.
std::string json_line(const OrderedJson& data);
inline constexpr const char* kJsonLinesType = "application/x-ndjson";

}  // namespace tandem::ipc
