#pragma once

#include <map>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace tandem::manual {

/// What may stand behind an option or as an argument, read from its type name: alternatives between bars,
/// such as `f16|q8_0|f32` or `FILE|catalogue:NAME`.  What has a capital letter stands for something: FILE
/// for files, names in `Words` for those words, others for what nobody can list.
struct Value {
  std::string shown;  ///< empty for a flag
  std::vector<std::string> words;
  bool files = false;
};

/// Placeholders and what they stand for.
using Words = std::map<std::string, std::vector<std::string>, std::less<>>;

/// An option ("-h", "--help") or an argument ("MODEL").
struct Option {
  std::vector<std::string> names;
  Value value;
  std::string help;
  std::string default_text;  ///< empty for none
  std::string range;         ///< "[1 - 1000]", empty for none
  bool required = false;
  bool repeats = false;
};

/// A program or one of its commands.
struct Command {
  std::string name;
  std::string about;
  std::string footer;
  std::vector<Option> options;    ///< those of option groups among them
  std::vector<Option> arguments;  ///< in order
  std::vector<Command> commands;
};

/// What `app` takes.  Options and commands in a group without a name are hidden, and left out.
Command describe(const CLI::App& app, const Words& words);

/// The type name that offers `names`, a table of planner/names.h.
template <typename Names>
std::string choice_of(const Names& names) {
  std::string text;
  for (const auto& name : names) text += (text.empty() ? "" : "|") + std::string(name.text);
  return text;
}

}  // namespace tandem::manual
