#include "cli/manual/completions.h"

#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "model/catalogue.h"
#include "planner/machine_parts.h"

namespace tandem::cli {
namespace {

std::vector<std::string> catalogue_words() {
  std::vector<std::string> words;
  for (const auto& name : model::catalogue_names())
    words.push_back(std::string(model::kCataloguePrefix) + name);
  return words;
}

/// Whole profiles, cards, and cards with a processor.
std::vector<std::string> machine_words() {
  std::vector<std::string> words;
  for (const auto name : planner::machine_names()) words.emplace_back(name);
  for (const auto& gpu : planner::known_gpus()) {
    words.push_back(gpu.name);
    for (const auto& cpu : planner::known_cpus()) words.push_back(gpu.name + "+" + cpu.name);
  }
  return words;
}

int print_completion(const CLI::App& program, const std::string& shell) {
  const manual::Words words{{"catalogue:NAME", catalogue_words()}, {"MACHINE", machine_words()}};
  std::cout << manual::completion(manual::describe(program, words), shell) << std::flush;
  return kOk;
}

}  // namespace

Command completions_command(CLI::App& parent) {
  auto* app =
      parent.add_subcommand("completions", "Print the script by which a shell completes tandem's commands");
  app->footer(
      "bash: source <(tandem completions bash)   zsh, after compinit: source <(tandem completions zsh)\n"
      "fish: tandem completions fish | source");
  const auto shell = std::make_shared<std::string>();
  app->add_option("SHELL", *shell, "whose script")->type_name(std::string(manual::kShells))->required();
  return {app, [&parent, shell] { return print_completion(parent, *shell); }};
}

}  // namespace tandem::cli
