#pragma once

#include "ipc/router.h"

namespace tandem::ipc {

/// How a dialect writes an error as a whole answer.
using ErrorReply = HttpReply (*)(const RequestError& error);

/// `route` with every error, whether its handler throws it or the answer it starts, in a dialect's words
/// instead of OpenAI's.
Route with_errors(Route route, ErrorReply error_reply);

}  // namespace tandem::ipc
