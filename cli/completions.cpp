#include "cli/manual/completions.h"

#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/description.h"

namespace tandem::cli {

Command completions_command(CLI::App& parent) {
  auto* app =
      parent.add_subcommand("completions", "Print the script by which a shell completes tandem's commands");
  app->footer(
      "bash: source <(tandem completions bash)\n"
      "zsh, after compinit: source <(tandem completions zsh)\n"
      "fish: tandem completions fish | source");
  const auto shell = std::make_shared<std::string>();
  app->add_option("SHELL", *shell, "whose script")->type_name(std::string(manual::kShells))->required();
  return {app, [&parent, shell] {
            std::cout << manual::completion(description_of(parent), *shell) << std::flush;
            return kOk;
          }};
}

}  // namespace tandem::cli
