#include "cli/manual/completions.h"
#include "cli/manual/shell_text.h"

namespace tandem::manual {
namespace {

/// Found in $fpath the file is the function's body; sourced it defines the function.  PROGRAM is the
/// program's name.
constexpr const char* kEnd = R"zsh(}

if [[ $funcstack[1] == _PROGRAM ]]; then
  _PROGRAM "$@"
else
  compdef _PROGRAM PROGRAM
fi
)zsh";

/// As part of a specification, in which these letters mean something.
std::string escaped(std::string text) {
  for (const char* letter : {"\\", ":", "[", "]"}) text = replaced(text, letter, std::string("\\") + letter);
  return text;
}

/// ":WHAT:ACTION" for _arguments.
std::string value_spec(const std::string& shown, const Value& value) {
  std::string text = ":" + escaped(shown) + ":";
  // With the usual " " for nothing zsh would not insert what else could stand in an argument's place: an
  // option.
  if (value.words.empty()) return text + (value.files ? "_files" : "()");
  const auto words = joined(value.words, " ");
  if (!value.files) return text + "(" + escaped(words) + ")";
  // An action in braces is evaluated as it stands.
  return text + "{compadd -- " + escaped(words) + "; _files}";
}

std::string option_spec(const Option& option) {
  const bool flag = option.value.shown.empty();
  std::string text;
  for (const auto& name : option.names) {
    const std::string form = flag ? "" : name.starts_with("--") ? "=" : "+";
    std::string spec = option.repeats ? "*" : "(" + joined(option.names, " ") + ")";
    spec += name + form + "[" + escaped(option.help) + "]";
    if (!flag) spec += value_spec(option.value.shown, option.value);
    text += " \\\n    " + shell_quoted(spec);
  }
  return text;
}

/// Calls _arguments for what `command` takes.
std::string arguments_call(const Command& command, const std::string& more) {
  std::string text = "_arguments -S" + more;
  for (const auto& option : command.options) text += option_spec(option);
  for (const auto& argument : command.arguments) {
    text += " \\\n    " +
            shell_quoted((argument.repeats ? "*" : "") + value_spec(argument.names.front(), argument.value));
  }
  return text + "\n";
}

std::string commands_part(const Command& program) {
  std::string text = "  case $state in\n  command)\n    commands=(\n";
  for (const auto& command : program.commands) {
    text += "      " + shell_quoted(command.name + ":" + replaced(command.about, ":", "\\:")) + "\n";
  }
  text += "    )\n    _describe command commands ;;\n  rest)\n    case $words[1] in\n";
  for (const auto& command : program.commands) {
    text += "    " + command.name + ") " + arguments_call(command, "") + "    ;;\n";
  }
  return text + "    esac ;;\n  esac\n";
}

}  // namespace

std::string zsh_completion(const Command& program) {
  std::string text =
      replaced("#compdef PROGRAM\n# zsh completion of PROGRAM\n\n_PROGRAM() {\n  ", "PROGRAM", program.name);
  if (program.commands.empty()) {
    text += arguments_call(program, "");
  } else {
    text += "local context curcontext=$curcontext state line commands\n  typeset -A opt_args\n  " +
            arguments_call(program, " -C ':command:->command' '*::rest:->rest'") + commands_part(program);
  }
  return text + replaced(kEnd, "PROGRAM", program.name);
}

}  // namespace tandem::manual
