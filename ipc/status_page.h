#pragma once

#include "ipc/http.h"

namespace tandem::ipc {

/// The page at "/": one file, without network beyond GET /v1/status/stream of its own server.  Its policy
/// allows its own style and script, by their hashes, and nothing else.
HttpReply status_page();

}  // namespace tandem::ipc
