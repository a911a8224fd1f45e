#pragma once

#include <string>

#include "ipc/chat.h"
#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// What POST /api/chat and POST /api/generate have in common.
struct OllamaRequest {
  std::string model;           ///< as the client names it; any name means the model that is loaded
  bool stream = true;          ///< Ollama's default
  GenerationRequest settings;  ///< all but id, owner, prompt and rules
};

/// The body of POST /api/chat; ipc/README.md says of every field what becomes of it.
struct OllamaChatRequest : OllamaRequest {
  ChatRequest chat;  ///< without messages where the client only wants the model to be loaded
};

/// The body of POST /api/generate.
struct OllamaGenerateRequest : OllamaRequest {
  std::string prompt;  ///< empty where the client only wants the model to be loaded
  std::string system;
  bool raw = false;  ///< the prompt as it is, in no chat format
  Thinking thinking = Thinking::model_default;
  AnswerFormat format;
};

/// Check every field, against what `card`'s model can do.  Throw RequestError.
OllamaChatRequest read_ollama_chat_request(const Json& body, const Limits& limits, const ModelCard& card);
OllamaGenerateRequest read_ollama_generate_request(const Json& body, const Limits& limits,
                                                   const ModelCard& card);

}  // namespace tandem::ipc
