#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// GET /api/version, GET /api/tags, GET /api/ps and POST /api/show: the one model that is loaded, as Ollama
/// describes models.
std::vector<Route> ollama_model_routes(RouteContext& context);

}  // namespace tandem::ipc
