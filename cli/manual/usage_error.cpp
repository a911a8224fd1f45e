#include "cli/manual/usage_error.h"

#include <algorithm>
#include <utility>

namespace tandem::manual {

namespace {

bool has_name(const CLI::App* app) {
  return !app->get_name().empty();  // groups of options have none
}

/// The command that was typed, and how it is called.
std::pair<const CLI::App*, std::string> typed_command(const CLI::App& program) {
  const CLI::App* app = &program;
  std::string name = app->get_name();
  for (bool deeper = true; deeper;) {
    deeper = false;
    for (const CLI::App* const inner : app->get_subcommands()) {
      if (!has_name(inner)) continue;
      app = inner;
      name += " " + inner->get_name();
      deeper = true;
      break;
    }
  }
  return {app, name};
}

void add_options(const CLI::App& app, std::vector<std::string>& names) {
  for (const CLI::Option* const option : app.get_options()) {
    for (const auto& name : option->get_lnames()) names.push_back("--" + name);
  }
  const auto is_group = [](const CLI::App* inner) { return !has_name(inner); };
  for (const CLI::App* const group : app.get_subcommands(is_group)) add_options(*group, names);
}

/// An option that is none, else a word that is of no use; empty if there is neither.
std::string unknown_word(const CLI::App& program) {
  const auto all = program.remaining(true);
  const auto option =
      std::find_if(all.begin(), all.end(), [](const std::string& word) { return word.starts_with('-'); });
  if (option != all.end()) return option->substr(0, option->find('='));
  return all.empty() ? std::string() : all.front();
}

/// CLI11 says "--vram: At Most 1 required but received 2".
std::string readable(const std::string& text) {
  const auto many = text.find(": At Most 1 required but received ");
  if (many != std::string::npos) return text.substr(0, many) + " is given more than once";
  return text == "A subcommand is required" ? "a command is missing" : text;
}

}  // namespace

std::string usage_error(const CLI::App& program, const CLI::Error& error, const Nearest& nearest) {
  const auto [command, name] = typed_command(program);
  std::string what = readable(error.what());
  std::string hint;
  const auto code = static_cast<CLI::ExitCodes>(error.get_exit_code());
  const auto word = unknown_word(program);
  if (!word.empty() && (code == CLI::ExitCodes::ExtrasError || code == CLI::ExitCodes::RequiredError)) {
    const bool is_option = word.starts_with('-');
    what = is_option ? "there is no option " + word : "nothing is expected where '" + word + "' stands";
    std::vector<std::string> options;
    add_options(*command, options);
    const auto meant = is_option ? nearest(word, options) : std::string_view();
    if (!meant.empty()) hint = "did you mean " + std::string(meant) + "?  ";
  }
  const std::string begin = program.get_name() + ": ";
  return begin + what + "\n" + begin + hint + "see " + name + " --help\n";
}

}  // namespace tandem::manual
