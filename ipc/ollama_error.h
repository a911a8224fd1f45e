#pragma once

#include "ipc/http.h"
#include "ipc/json_fields.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// {"error": "message"}.
OrderedJson ollama_error(const RequestError& error);

/// The same as a whole answer.
HttpReply ollama_error_reply(const RequestError& error);

}  // namespace tandem::ipc
