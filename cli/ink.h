#pragma once

#include <string>

#include <CLI/CLI.hpp>

#include "planner/palette.h"

namespace tandem::cli {

/// Whether standard output is a terminal that can be drawn at: not one of TERM=dumb.
bool can_draw();

/// Whether output may be coloured: `choice` is "always", "never" or "auto", which colours a terminal unless
/// the environment has NO_COLOR (no-color.org) or TERM=dumb.  Throws BadQuestion for anything else.
planner::Ink ink_for(const std::string& choice);

/// --color, which takes such a choice.
void add_color_option(CLI::App& app, std::string& choice, const std::string& help);

}  // namespace tandem::cli
