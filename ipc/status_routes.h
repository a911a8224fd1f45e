#pragma once

#include <vector>

#include "ipc/router.h"

namespace tandem::ipc {

/// The picture of what the daemon is doing: GET /v1/status, GET /v1/status/stream (the same once a second, as
/// server-sent events) and the page at GET / that shows it.
std::vector<Route> status_routes(RouteContext& context);

}  // namespace tandem::ipc
