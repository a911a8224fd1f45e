#pragma once

#include <string>
#include <string_view>

#include "cli/manual/description.h"

namespace tandem::manual {

/// The shells there are completions for, as a type name.
inline constexpr std::string_view kShells = "bash|zsh|fish";

// Each is a script that completes `program`: its commands, and the options and values of each.  Commands have
// no commands of their own.  The script may be sourced, or lie where the shell looks for completions.

std::string bash_completion(const Command& program);
std::string zsh_completion(const Command& program);
std::string fish_completion(const Command& program);

/// The one for `shell`, one of kShells.  Throws std::invalid_argument for another.
std::string completion(const Command& program, std::string_view shell);

}  // namespace tandem::manual
