#include <iostream>

#include "cli/commands.h"
#include "cli/description.h"
#include "cli/manual/man_page.h"
#include "embedded/page_tandem.h"

namespace tandem::cli {

Command manual_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("manual", "Print the man page of tandem");
  app->footer("To read it: tandem manual | man -l -");
  return {app, [&parent] {
            const auto program = description_of(parent);
            std::cout << manual::man_page(embedded::page_tandem,
                                          {{"VERSION", TANDEM_VERSION},
                                           {"OPTIONS", manual::options_section(program)},
                                           {"COMMANDS", manual::commands_section(program)}})
                      << std::flush;
            return kOk;
          }};
}

}  // namespace tandem::cli
