#pragma once

#include <chrono>
#include <csignal>
#include <optional>
#include <string>

#include <CLI/CLI.hpp>

#include "ipc/client.h"

namespace tandem::cli {

/// --socket, by default $TANDEM_SOCKET, else the daemon's own default path.
void add_socket_option(CLI::App& app, std::string& path);

/// --think and --no-think, for commands that ask for chat answers; `more` is added to their help.
CLI::Option* add_think_option(CLI::App& app, std::optional<bool>& think, const std::string& more);

/// A connection to the daemon at `path` (empty: the default), for as much patience.  Throws ipc::SocketError.
ipc::Client connect_to_daemon(const std::string& path,
                              std::chrono::milliseconds patience = ipc::Client::kPatience);

/// What GET /health says, also while the daemon loads or drains (503).  Throws ipc::RequestError where the
/// daemon refuses to say it.
ipc::Json health_of(ipc::Client& client);

/// A request body.  Throws Error where a text in it is not valid UTF-8.
std::string to_body(const ipc::Json& request);

/// While one lives, Ctrl-C ends what its client waits for (which then throws ipc::ConnectionLost): the daemon
/// cancels the request and goes on.  One at a time.
class CtrlC {
 public:
  explicit CtrlC(ipc::Client& client);
  ~CtrlC();
  CtrlC(const CtrlC&) = delete;
  CtrlC& operator=(const CtrlC&) = delete;

  /// Since the latest one was made.
  [[nodiscard]] static bool pressed() noexcept;

 private:
  struct sigaction before_ {};
};

/// What --help says of exit codes, for commands that talk to the daemon.
inline constexpr const char* kDaemonExitCodes =
    "Exit: 0 done, 1 usage, 4 no daemon listens or answers, 5 the daemon refused, 130 Ctrl-C.";

}  // namespace tandem::cli
