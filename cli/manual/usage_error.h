#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <CLI/CLI.hpp>

namespace tandem::manual {

/// The one of the words that was probably meant; empty if there is none.
using Nearest = std::function<std::string_view(std::string_view, const std::vector<std::string>&)>;

/// What is wrong with a command line, in lines that begin with `program`'s name, the last of them with a
/// hint: "tandem: there is no option --vrma", "tandem: did you mean --vram?  see tandem plan --help".
std::string usage_error(const CLI::App& program, const CLI::Error& error, const Nearest& nearest);

}  // namespace tandem::manual
