#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// GET /v1/models and /v1/models/{id}.
std::vector<Route> openai_model_routes(RouteContext& context);

}  // namespace tandem::ipc
