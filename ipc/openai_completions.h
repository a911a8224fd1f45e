#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// POST /v1/completions.  The context outlives the routes and every answer they start.
std::vector<Route> openai_completion_routes(RouteContext& context);

}  // namespace tandem::ipc
