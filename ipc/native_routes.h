#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// What is Tandem's own: GET /health /metrics /v1/plan /v1/requests, DELETE /v1/requests/{id},
/// POST /v1/tokenize /v1/detokenize.
std::vector<Route> native_routes(RouteContext& context);

}  // namespace tandem::ipc
