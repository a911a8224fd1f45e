#pragma once

#include <cstddef>

#include "ipc/chat.h"
#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/openai_completion_reply.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The body of POST /v1/chat/completions; ipc/README.md says of every field what becomes of it.
struct OpenaiChatRequest {
  ChatRequest chat;
  GenerationRequest settings;  ///< all but id, owner, prompt and rules
  std::size_t n = 1;
  bool stream = false;
  bool include_usage = false;  ///< in the stream's end
  TokenNames names = TokenNames::text;
};

/// Checks every field, against what `card`'s model can do.  Throws RequestError.
OpenaiChatRequest read_openai_chat_request(const Json& body, const Limits& limits, const ModelCard& card);

}  // namespace tandem::ipc
