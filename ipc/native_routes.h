#pragma once

#include <vector>

#include "ipc/json_fields.h"
#include "ipc/router.h"

namespace tandem::ipc {

/// What is Tandem's own: GET /health /metrics /v1/plan /v1/requests, DELETE /v1/requests/{id},
/// POST /v1/tokenize /v1/detokenize.
std::vector<Route> native_routes(RouteContext& context);

/// What GET /health says.
OrderedJson health_json(const Health& health);

/// The lines of GET /v1/requests.
OrderedJson requests_json(const std::vector<RequestInfo>& requests);

}  // namespace tandem::ipc
