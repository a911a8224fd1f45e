#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/openai_completion_reply.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The body of POST /v1/completions; ipc/README.md says of every field what becomes of it.
struct CompletionRequest {
  using Prompt = std::variant<std::string, std::vector<std::int32_t>>;

  std::vector<Prompt> prompts;  ///< one or more
  GenerationRequest settings;   ///< all but id, owner, prompt and rules
  AnswerFormat format;
  std::size_t n = 1;        ///< answers to a prompt
  std::size_t best_of = 1;  ///< made for a prompt, of which the n most probable are sent; n if streamed
  bool stream = false;
  bool include_usage = false;   ///< in the stream's end
  bool shows_logprobs = false;  ///< they were asked for (best_of needs them too)
  TokenNames names = TokenNames::text;
};

/// Checks every field; ids of prompts are below `vocab`.  Throws RequestError.
CompletionRequest read_completion_request(const Json& body, const Limits& limits, std::uint32_t vocab);

/// The sequences a request asks for, best_of for each prompt, in order: strings become ids.  A single
/// sequence has the request's id, several are `id`-0, `id`-1 ...  Takes as long as tokenising does.  Throws
/// RequestError.
std::vector<GenerationRequest> to_sequences(const CompletionRequest& completion, const std::string& id,
                                            const std::string& owner, const Limits& limits, Service& service);

}  // namespace tandem::ipc
