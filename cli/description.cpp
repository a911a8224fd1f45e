#include "cli/description.h"

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

}  // namespace

manual::Command description_of(const CLI::App& program) {
  return manual::describe(program, {{"catalogue:NAME", catalogue_words()}, {"MACHINE", machine_words()}});
}

}  // namespace tandem::cli
