#include "cli/manual/completions.h"

#include <stdexcept>

namespace tandem::manual {

std::string completion(const Command& program, std::string_view shell) {
  if (shell == "bash") return bash_completion(program);
  if (shell == "zsh") return zsh_completion(program);
  if (shell == "fish") return fish_completion(program);
  throw std::invalid_argument("there are no completions for " + std::string(shell) + ", but for " +
                              std::string(kShells));
}

}  // namespace tandem::manual
