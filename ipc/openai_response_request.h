#pragma once

#include "ipc/chat.h"
#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/openai_response_tools.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The body of POST /v1/responses; ipc/README.md says of every field what becomes of it.
struct OpenaiResponseRequest {
  ChatRequest chat;
  GenerationRequest settings;  ///< all but id, owner, prompt and rules
  bool stream = false;
  SpacedNames spaced;  ///< by which calls of functions in namespaces are answered
  /// Members that the answer repeats: instructions, tools, tool_choice, text, reasoning and the like.
  OrderedJson repeated;
};

/// Checks every field, against what `card`'s model can do.  Throws RequestError.
OpenaiResponseRequest read_openai_response_request(const Json& body, const Limits& limits,
                                                   const ModelCard& card);

}  // namespace tandem::ipc
