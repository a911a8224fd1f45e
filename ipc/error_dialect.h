#pragma once

#include <exception>
#include <string_view>

#include "ipc/http.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// `error` as a whole answer in the words of the dialect that `path` belongs to: Anthropic's for
/// /v1/messages and below, Ollama's for /api and below, OpenAI's for every other, also for none (empty).
HttpReply error_reply_at(std::string_view path, const RequestError& error);

/// The same for whatever was thrown: RequestError as it says, everything else as 500.
HttpReply error_reply_at(std::string_view path, const std::exception_ptr& error) noexcept;

}  // namespace tandem::ipc
