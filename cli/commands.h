#pragma once

#include "cli/command.h"

namespace tandem::cli {

// Each adds its subcommand to `parent`; one file a command.

Command plan_command(CLI::App& parent);
Command inspect_command(CLI::App& parent);
Command run_command(CLI::App& parent);
Command chat_command(CLI::App& parent);
Command ps_command(CLI::App& parent);
Command top_command(CLI::App& parent);
Command stop_command(CLI::App& parent);
Command wait_command(CLI::App& parent);
Command bench_command(CLI::App& parent);
Command calibrate_command(CLI::App& parent);
Command devices_command(CLI::App& parent);
Command perplexity_command(CLI::App& parent);
Command completions_command(CLI::App& parent);
Command manual_command(CLI::App& parent);

}  // namespace tandem::cli
