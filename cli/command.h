#pragma once

#include <functional>

#include <CLI/CLI.hpp>

namespace tandem::cli {

/// What `tandem` exits with.
enum ExitCode : int {
  kFits = 0,
  kOk = 0,
  kUsage = 1,
  kDoesNotFit = 2,
  kBadModel = 3,
  kNoDaemon = 4,      ///< nobody listens, or the daemon went away
  kRefused = 5,       ///< the daemon did not do what it was asked
  kInterrupted = 130  ///< Ctrl-C
};

/// One subcommand: its options live in `run`, which is called after they were parsed and returns the exit
/// code.
struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

}  // namespace tandem::cli
