#pragma once

#include <string>

namespace tandem::cli_test {

/// What a run of a command left behind.
struct Outcome {
  int exit_code = -1;
  std::string out;
  std::string err;
};

/// Runs `build/tandem ARGUMENTS`, which the shell splits.
Outcome run_tandem(const std::string& arguments);

/// Runs any command line.
Outcome run_shell(const std::string& command);

}  // namespace tandem::cli_test
