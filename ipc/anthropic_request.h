#pragma once

#include "ipc/chat.h"
#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The body of POST /v1/messages; ipc/README.md says of every field what becomes of it.
struct AnthropicRequest {
  ChatRequest chat;
  GenerationRequest settings;  ///< all but id, owner, prompt and rules
  bool stream = false;
};

/// Checks every field, against what `card`'s model can do.  Throws RequestError.
AnthropicRequest read_anthropic_request(const Json& body, const Limits& limits, const ModelCard& card);

/// The body of POST /v1/messages/count_tokens: the same without how the answer is made.  Throws RequestError.
ChatRequest read_anthropic_count(const Json& body, const ModelCard& card);

}  // namespace tandem::ipc
