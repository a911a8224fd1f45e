#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// POST /v1/responses, streamed or not, as OpenAI has it, without its memory: nothing is kept.
std::vector<Route> openai_response_routes(RouteContext& context);

}  // namespace tandem::ipc
