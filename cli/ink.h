#pragma once

#include <string>

#include "planner/palette.h"

namespace tandem::cli {

/// Whether output may be coloured: `choice` is "always", "never" or "auto", which colours a terminal unless
/// the environment has NO_COLOR (no-color.org) or TERM=dumb.  Throws BadQuestion for anything else.
planner::Ink ink_for(const std::string& choice);

}  // namespace tandem::cli
