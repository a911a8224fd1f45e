#pragma once

#include "cli/command.h"

namespace tandem::cli {

// Each adds its subcommand to `parent`; one file a command.

Command plan_command(CLI::App& parent);
Command inspect_command(CLI::App& parent);

}  // namespace tandem::cli
