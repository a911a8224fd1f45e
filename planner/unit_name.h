#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "planner/plan.h"

namespace tandem::planner {

/// A unit as plan JSON calls it: "attention.7", "ffn.7", "head".
std::string unit_name(UnitRef unit);

/// The unit called `name`, or nothing.
std::optional<UnitRef> unit_from_name(std::string_view name) noexcept;

}  // namespace tandem::planner
