#pragma once

#include <string>

#include "planner/plan.h"

namespace tandem::planner {

/// The plan as a picture, SVG of 960 pixels' width: each device's memory as a bar cut by purpose, as long as
/// its budget (or what is used, where that is more), and the layers as a strip: the device of each half and
/// the size of the KV.  Every part has its name and bytes as a tip.
std::string plan_svg(const Plan& plan);

}  // namespace tandem::planner
