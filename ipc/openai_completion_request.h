#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "ipc/json_fields.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// The body of POST /v1/completions; ipc/README.md says of every field what becomes of it.
struct CompletionRequest {
  using Prompt = std::variant<std::string, std::vector<std::int32_t>>;

  std::vector<Prompt> prompts;  ///< one or more
  GenerationRequest settings;   ///< all but id, owner and prompt
  bool stream = false;
  bool include_usage = false;  ///< in the stream's end
  bool tokens_as_ids = false;  ///< logprobs name tokens "token_id:N"
};

/// Checks every field; ids of prompts are below `vocab`.  Throws RequestError.
CompletionRequest read_completion_request(const Json& body, const Limits& limits, std::uint32_t vocab);

/// The sequences a request asks for, one a prompt, in order: strings become ids.  One prompt's sequence has
/// the request's id, those of several are `id`-0, `id`-1 ...  Takes as long as tokenising does.  Throws
/// RequestError.
std::vector<GenerationRequest> to_sequences(const CompletionRequest& completion, const std::string& id,
                                            const std::string& owner, const Limits& limits, Service& service);

}  // namespace tandem::ipc
