#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// POST /v1/messages, streamed or not, and POST /v1/messages/count_tokens, as Anthropic has them.
std::vector<Route> anthropic_routes(RouteContext& context);

}  // namespace tandem::ipc
