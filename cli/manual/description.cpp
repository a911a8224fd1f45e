#include "cli/manual/description.h"

#include <algorithm>
#include <cctype>
#include <string_view>

namespace tandem::manual {
namespace {

constexpr std::string_view kFile = "FILE";
constexpr std::string_view kRange = " in [";  ///< as CLI::Range says it, behind a colon

std::vector<std::string> alternatives(const std::string& type) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= type.size();) {
    const auto end = std::min(type.find('|', begin), type.size());
    parts.push_back(type.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool is_placeholder(const std::string& text) {
  return std::ranges::any_of(text, [](unsigned char letter) { return std::isupper(letter) != 0; });
}

Value value_of(const std::string& type, const Words& words) {
  Value value{type, {}, false};
  for (const auto& part : alternatives(type)) {
    const auto known = words.find(part);
    if (part == kFile) {
      value.files = true;
    } else if (known != words.end()) {
      value.words.insert(value.words.end(), known->second.begin(), known->second.end());
    } else if (!part.empty() && !is_placeholder(part)) {
      value.words.push_back(part);
    }
  }
  return value;
}

Option describe(const CLI::Option& option, const Words& words) {
  Option result;
  if (option.get_positional()) result.names.push_back(option.get_name(true));
  for (const auto& name : option.get_snames()) result.names.push_back("-" + name);
  for (const auto& name : option.get_lnames()) result.names.push_back("--" + name);
  result.help = option.get_description();
  result.required = option.get_required();
  result.repeats = option.get_items_expected_max() > 1 ||
                   option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
  if (option.get_items_expected_max() == 0) return result;
  std::string type = option.get_type_name();
  if (const auto range = type.find(kRange); range != std::string::npos) {
    result.range = type.substr(range + kRange.size() - 1);
    type = type.substr(0, type.find(':'));
  }
  result.value = value_of(type, words);
  result.default_text = option.get_default_str();
  return result;
}

void add_options(Command& command, const CLI::App& app, const Words& words) {
  for (const auto* option : app.get_options()) {
    const bool inherited = app.get_name().empty() && option == app.get_help_ptr();
    if (inherited || option->get_group().empty()) continue;
    (option->get_positional() ? command.arguments : command.options).push_back(describe(*option, words));
  }
}

}  // namespace

Command describe(const CLI::App& app, const Words& words) {
  Command command{app.get_name(), app.get_description(), app.get_footer(), {}, {}, {}};
  add_options(command, app, words);
  for (const auto* child : app.get_subcommands([](const CLI::App*) { return true; })) {
    if (child->get_group().empty()) continue;
    if (child->get_name().empty()) {
      add_options(command, *child, words);
    } else {
      command.commands.push_back(describe(*child, words));
    }
  }
  return command;
}

}  // namespace tandem::manual
