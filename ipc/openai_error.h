#pragma once

#include "ipc/http.h"
#include "ipc/json_fields.h"
#include "ipc/service.h"

namespace tandem::ipc {

inline constexpr const char* kInvalidRequest = "invalid_request_error";
inline constexpr const char* kServerError = "server_error";

/// {"error": {"message", "type", "param", "code"}}.
OrderedJson openai_error(const RequestError& error);

/// The same as a whole answer.
HttpReply openai_error_reply(const RequestError& error);

}  // namespace tandem::ipc
