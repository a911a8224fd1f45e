#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// POST /v1/chat/completions.  The context outlives the routes and every answer they start.
std::vector<Route> openai_chat_routes(RouteContext& context);

}  // namespace tandem::ipc
