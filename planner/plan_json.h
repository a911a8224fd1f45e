#pragma once

#include <string>
#include <string_view>

#include <nlohmann/json_fwd.hpp>

#include "planner/plan.h"

namespace tandem::planner {

/// Plan JSON as config/plan.schema.json describes it, keys in that order.
nlohmann::ordered_json plan_to_json(const Plan& plan);

/// The same as text, ends with a newline: lists of small objects take a line for each.
std::string plan_to_text(const Plan& plan);

/// Reads plan JSON.  The daemon executes what it reads, so this is strict: every key is there, in range and
/// known; the stages run every unit once, in order, on the device its layer says, no two in a row on one
/// device; KV is with its attention half; cells, pages, KV bytes, arenas, totals, tensor bytes, `fits` and
/// shortfalls agree with each other.  Throws BadPlan naming the key.  What only the model's header can tell
/// is `check_plan`'s.
Plan parse_plan(std::string_view text);

}  // namespace tandem::planner
