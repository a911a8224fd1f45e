#pragma once

#include "ipc/http.h"
#include "ipc/json_fields.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// {"type": "error", "error": {"type", "message"}}, with the type that Anthropic's API has for the status.
OrderedJson anthropic_error(const RequestError& error);

/// The same as a whole answer.
HttpReply anthropic_error_reply(const RequestError& error);

}  // namespace tandem::ipc
