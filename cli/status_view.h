#pragma once

#include <string>
#include <string_view>

#include "ipc/json_fields.h"
#include "planner/palette.h"
#include "planner/plan.h"

namespace tandem::cli {

/// The answer of GET /v1/status as far as it tells where things are: layers, head, arenas, budget.  Throws
/// Error if it is of another schema.
planner::Plan placement_of(const ipc::Json& status);

/// What the daemon is doing, for a terminal of 80 columns: rates, memory by device and purpose, layers, and
/// at most `max_requests` requests.  Lines end with a newline.  Throws Error.
std::string status_view(const ipc::Json& status, std::size_t max_requests, planner::Ink ink);

/// The first `columns` columns of a line; escape sequences take none and are kept.
std::string clipped(std::string_view line, std::size_t columns);

}  // namespace tandem::cli
