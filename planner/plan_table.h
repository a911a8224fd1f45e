#pragma once

#include <string>

#include "planner/plan.h"

namespace tandem::planner {

/// The plan for a terminal of 80 columns: what was asked, bytes by device and purpose, the layers as a strip,
/// stages, predicted speed and reasons.  ASCII, no colour; no line is longer than 80 characters but a name.
std::string plan_table(const Plan& plan);

}  // namespace tandem::planner
