#include "cli/manual/man_page.h"

#include <cctype>

#include "cli/manual/shell_text.h"

namespace tandem::manual {
namespace {

/// `value` with its placeholders in italics and what is meant literally in bold: "FILE|catalogue:NAME".
std::string roff_value(const std::string& value) {
  std::string text;
  for (std::size_t at = 0; at < value.size();) {
    const auto is_capital = [&value](std::size_t i) {
      return std::isupper(static_cast<unsigned char>(value[i])) != 0;
    };
    const bool capital = is_capital(at);
    if (value[at] == '|') {
      text += '|';
      ++at;
      continue;
    }
    auto end = at;
    while (end < value.size() && value[end] != '|' && is_capital(end) == capital) ++end;
    text += (capital ? "\\fI" : "\\fB") + roff(value.substr(at, end - at)) + "\\fR";
    at = end;
  }
  return text;
}

std::string bold(const std::string& text) {
  return "\\fB" + roff(text) + "\\fR";
}

/// "text" with a point at its end, beginning with a capital.
std::string sentence(std::string text) {
  if (text.empty()) return text;
  const bool name = text.size() > 1 && std::isupper(static_cast<unsigned char>(text[1])) != 0;
  if (!name) text[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[0])));
  return text.back() == '.' ? text : text + ".";
}

/// What stands below an option's name.  A default that only the help knows stands at its end: "[4]".
std::string explained(const Option& option) {
  std::string about = option.help;
  std::string preset = option.default_text;
  if (const auto bracket = about.rfind(" ["); about.ends_with(']') && bracket != std::string::npos) {
    preset = about.substr(bracket + 2, about.size() - bracket - 3);
    about.erase(bracket);
  }
  std::string text = sentence(about);
  if (!option.range.empty()) text += " Range: " + option.range.substr(1, option.range.size() - 2) + ".";
  if (!preset.empty()) text += " Default: " + preset + ".";
  return text;
}

std::string entry(const std::string& head, const std::string& text) {
  return ".TP\n" + head + "\n" + roff(text) + "\n";
}

std::string option_entry(const Option& option) {
  std::vector<std::string> names;
  for (const auto& name : option.names) names.push_back(bold(name));
  std::string head = joined(names, ", ");
  if (!option.value.shown.empty()) head += " " + roff_value(option.value.shown);
  return entry(head, explained(option));
}

/// "MODEL", "[MODEL ...]"
std::string usage_of(const Option& argument) {
  const auto name = "\\fI" + roff(argument.names.front()) + "\\fR" + (argument.repeats ? " ..." : "");
  return argument.required ? name : "[" + name + "]";
}

std::string command_section(const std::string& program, const Command& command) {
  const auto called = program + " " + command.name;
  auto text = roff_subsection(called, command.about) + ".PP\n" + bold(called) + " [\\fIoption\\fR ...]";
  for (const auto& argument : command.arguments) text += " " + usage_of(argument);
  text += '\n';
  for (const auto& argument : command.arguments) {
    text += entry("\\fI" + roff(argument.names.front()) + "\\fR", explained(argument));
  }
  for (const auto& option : command.options) {
    if (option.names.back() != "--help") text += option_entry(option);
  }
  if (command.footer.empty()) return text;
  return text + ".PP\n" + replaced(roff(command.footer), "\n", "\n.br\n") + "\n";
}

}  // namespace

std::string roff(std::string_view text) {
  std::string result;
  bool line_begins = true;
  for (const char letter : text) {
    if (line_begins && (letter == '.' || letter == '\'')) result += "\\&";
    line_begins = letter == '\n';
    switch (letter) {
      case '\\':
        result += "\\e";
        break;
      case '-':
        result += "\\-";
        break;
      case '\'':
        result += "\\(aq";
        break;
      case '`':
        result += "\\(ga";
        break;
      case '^':
        result += "\\(ha";
        break;
      case '~':
        result += "\\(ti";
        break;
      default:
        result += letter;
    }
  }
  return result;
}

std::string roff_entry(const std::string& tag, const std::string& value, const std::string& text) {
  return entry(bold(tag) + " " + roff_value(value), sentence(text));
}

std::string roff_subsection(const std::string& name, const std::string& about) {
  return ".SS \"" + roff(name) + "\"\n" + roff(sentence(about)) + "\n";
}

std::string options_section(const Command& command) {
  std::string text;
  for (const auto& option : command.options) text += option_entry(option);
  return text;
}

std::string commands_section(const Command& program) {
  std::string text;
  for (const auto& command : program.commands) text += command_section(program.name, command);
  return text;
}

std::string man_page(std::string_view prose, const std::map<std::string, std::string>& parts) {
  std::string text(prose);
  for (const auto& [name, part] : parts) {
    const auto mark = "@" + name + "@";
    const bool whole_lines = part.ends_with('\n');
    text = replaced(text, whole_lines ? mark + "\n" : mark, part);
  }
  return text;
}

}  // namespace tandem::manual
