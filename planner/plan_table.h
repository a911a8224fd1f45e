#pragma once

#include <string>

#include "planner/palette.h"
#include "planner/plan.h"

namespace tandem::planner {

/// The plan for a terminal of 80 columns: what was asked, bytes by device and purpose, the layers as a strip,
/// stages, predicted speed and reasons.  ASCII beside the colours; no line is wider than 80 columns but a
/// name.
std::string plan_table(const Plan& plan, Ink ink = Ink::plain);

}  // namespace tandem::planner
