#include "cli/manual/completions.h"
#include "cli/manual/shell_text.h"

namespace tandem::manual {
namespace {

// PROGRAM is replaced by its name.

/// The head of the table of values.
constexpr const char* kTable = R"bash(# bash completion of PROGRAM

# Sets words and files: what may stand as "options" or "argument" of command $1, or behind its option $2.  Fails
# for what takes no value.
_PROGRAM_values() {
  words= files=
  case "$1 $2" in
)bash";

/// After the table's rows.
constexpr const char* kScript = R"bash(    *) return 1 ;;
  esac
}

_PROGRAM() {
  local line=() current piece commands command= option= options=yes words= files=
  # bash cuts words at ":" and "=": what was one word becomes one again.
  for piece in "${COMP_WORDS[@]:0:COMP_CWORD+1}"; do
    if [[ ${#line[@]} -gt 1 && ( $piece == [:=]* || ${line[-1]} == *[:=] ) ]]; then
      line[-1]+=$piece
    else
      line+=("$piece")
    fi
  done
  current=${line[-1]}

  # What stands before: the command, whether options have ended, the option whose value comes.
  _PROGRAM_values '' argument
  commands=" $words "
  for piece in "${line[@]:1:${#line[@]}-2}"; do
    if [[ $option ]]; then
      option=
    elif [[ $piece == -- ]]; then
      options=
    elif [[ $options && $piece == -?* ]]; then
      [[ $piece != *=* ]] && _PROGRAM_values "$command" "$piece" && option=$piece
    elif [[ -z $command && $commands == *" $piece "* ]]; then
      command=$piece
    fi
  done

  if [[ $option ]]; then
    _PROGRAM_values "$command" "$option"
    piece=
  elif [[ $options && $current == -*=* ]]; then
    _PROGRAM_values "$command" "${current%%=*}"
    piece=${current%%=*}=
  elif [[ $options && $current == -* ]]; then
    _PROGRAM_values "$command" options
    piece=
  else
    _PROGRAM_values "$command" argument
    piece=
  fi
  mapfile -t COMPREPLY < <(compgen -P "$piece" -W "$words" -- "${current#"$piece"}")
  if [[ $files && ${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o default  # names of files, as everywhere
  elif [[ $files ]]; then
    mapfile -t -O "${#COMPREPLY[@]}" COMPREPLY < <(compgen -P "$piece" -f -- "${current#"$piece"}")
  fi

  # Only the last piece of what was one word is replaced.
  piece=${COMP_WORDS[COMP_CWORD]}
  [[ $piece == [:=] ]] && piece=
  COMPREPLY=("${COMPREPLY[@]#"${current%"$piece"}"}")
}
complete -F _PROGRAM PROGRAM
)bash";

std::string row(const std::string& key, const Value& value) {
  return "    " + shell_quoted(key) + ") words=" + shell_quoted(joined(value.words, " ")) +
         (value.files ? " files=yes" : "") + " ;;\n";
}

/// The rows of one command, whose name is empty for the program itself.
std::string rows(const std::string& name, const Command& command) {
  Value options;
  Value argument;
  for (const auto& child : command.commands) argument.words.push_back(child.name);
  if (!command.arguments.empty()) argument = command.arguments.front().value;
  std::string text = row(name + " argument", argument);
  for (const auto& option : command.options) {
    options.words.insert(options.words.end(), option.names.begin(), option.names.end());
    if (option.value.shown.empty()) continue;
    for (const auto& each : option.names) text.append(row(name + " " + each, option.value));
  }
  return row(name + " options", options) + text;
}

}  // namespace

std::string bash_completion(const Command& program) {
  std::string text = replaced(kTable, "PROGRAM", program.name) + rows("", program);
  for (const auto& command : program.commands) text += rows(command.name, command);
  return text + replaced(kScript, "PROGRAM", program.name);
}

}  // namespace tandem::manual
