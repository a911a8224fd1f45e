#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "ipc/event_stream.h"
#include "ipc/generation_answer.h"
#include "ipc/json_fields.h"
#include "ipc/openai_completion_reply.h"

namespace tandem::ipc {

/// "logprobs" of a choice of a chat: of every token its text, log-probability, bytes and alternatives.
OrderedJson chat_logprobs(std::span<const ScoredToken> scores, TokenNames names);

/// "tool_calls" as a whole message has them; each gets an id of its own.
OrderedJson whole_tool_calls(std::span<const ToolCall> calls);
/// The same as a piece of a stream; `first_index` is that of the first in its message.
OrderedJson streamed_tool_calls(std::span<const ToolCall> calls, std::size_t first_index);

/// One element of "choices" of a whole answer.
OrderedJson chat_choice(std::size_t index, const Choice& choice, OrderedJson logprobs);

/// One element of "choices" of a chunk; `finished` is nullptr while more is to come.
OrderedJson chat_chunk_choice(std::size_t index, OrderedJson delta, OrderedJson logprobs,
                              const Finished* finished);

/// The object around "choices": "chat.completion" or "chat.completion.chunk".
OrderedJson chat_object(const CompletionHead& head, const std::string& type, OrderedJson choices);

}  // namespace tandem::ipc
