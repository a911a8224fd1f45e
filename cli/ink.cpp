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

bool can_draw() {
  return isatty(STDOUT_FILENO) == 1 && variable("TERM") != "dumb";
}

planner::Ink ink_for(const std::string& choice) {
  if (choice == "always") return planner::Ink::colour;
  if (choice == "never") return planner::Ink::plain;
  if (choice != "auto")
    throw planner::BadQuestion("--color \"" + choice + "\" must be auto, always or never");
  return can_draw() && variable("NO_COLOR").empty() ? planner::Ink::colour : planner::Ink::plain;
}

void add_color_option(CLI::App& app, std::string& choice, const std::string& help) {
  app.add_option("--color", choice, help)->type_name("auto|always|never")->capture_default_str();
}

}  // namespace tandem::cli
