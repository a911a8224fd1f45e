#include "cli/manual/completions.h"
#include "cli/manual/shell_text.h"

namespace tandem::manual {
namespace {

std::string fish_quoted(const std::string& text) {
  return "'" + replaced(replaced(text, "\\", "\\\\"), "'", "\\'") + "'";
}

/// What a value may be, as options of `complete`.
std::string offer(const Value& value) {
  std::string text = value.files ? " -F" : "";
  if (!value.words.empty()) text += " -a " + fish_quoted(joined(value.words, " "));
  return text;
}

std::string option_row(const std::string& begin, const Option& option) {
  std::string text = begin;
  for (const auto& name : option.names) {
    text += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value.shown.empty()) text += (option.value.files ? " -r" : " -x") + offer(option.value);
  return text + " -d " + fish_quoted(option.help) + "\n";
}

/// Rows of a command, each of which begins with `begin`.
std::string command_rows(const std::string& begin, const Command& command) {
  std::string text;
  for (const auto& option : command.options) text += option_row(begin, option);
  if (command.arguments.empty()) return text;
  const auto& argument = command.arguments.front();
  const auto offered = offer(argument.value);
  return offered.empty() ? text : text + begin + offered + "\n";
}

}  // namespace

std::string fish_completion(const Command& program) {
  const std::string complete = "complete -c " + program.name;
  std::string text = "# fish completion of " + program.name + "\n\n" + complete + " -f\n";
  if (program.commands.empty()) return text + command_rows(complete, program);
  const std::string before = complete + " -n __fish_use_subcommand";
  text += command_rows(before, program);
  for (const auto& command : program.commands) {
    text += before + " -a " + command.name + " -d " + fish_quoted(command.about) + "\n";
  }
  for (const auto& command : program.commands) {
    text += "\n" + command_rows(complete + " -n '__fish_seen_subcommand_from " + command.name + "'", command);
  }
  return text;
}

}  // namespace tandem::manual
