#include "cli/ink.h"

#include <cstdlib>
#include <string_view>
#include <unistd.h>

#include "planner/errors.h"

namespace tandem::cli {
namespace {

std::string_view variable(const char* name) {
  const auto* const value = std::getenv(name);
  return value == nullptr ? std::string_view{} : value;
}

}  // namespace

planner::Ink ink_for(const std::string& choice) {
  if (choice == "always") return planner::Ink::colour;
  if (choice == "never") return planner::Ink::plain;
  if (choice != "auto")
    throw planner::BadQuestion("--color \"" + choice + "\" must be auto, always or never");
  const bool unwanted = !variable("NO_COLOR").empty() || variable("TERM") == "dumb";
  return !unwanted && isatty(STDOUT_FILENO) == 1 ? planner::Ink::colour : planner::Ink::plain;
}

void add_color_option(CLI::App& app, std::string& choice, const std::string& help) {
  app.add_option("--color", choice, help)->type_name("auto|always|never")->capture_default_str();
}

}  // namespace tandem::cli
