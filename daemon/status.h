#pragma once

#include <span>

#include "daemon/engine/engine.h"
#include "ipc/json_fields.h"
#include "memory/arena.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// The part of GET /v1/status that plan and engine know: "devices" (budget and bytes by purpose), "layers"
/// (where they are and what KV they hold), "head", "predicted", "rates", "sequences", "kv_pages", "totals".
/// Until memory is taken, `ledger` is empty and the plan's own numbers stand in.
ipc::OrderedJson status_of(const planner::Plan& plan, const engine::Stats& stats,
                           std::span<const memory::LedgerLine> ledger);

}  // namespace tandem::daemon
