#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// POST /api/chat and POST /api/generate, as Ollama has them: newline-delimited JSON unless "stream" is
/// false.
std::vector<Route> ollama_generation_routes(RouteContext& context);

}  // namespace tandem::ipc
