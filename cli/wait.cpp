#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "ipc/unix_socket.h"
#include "model/error.h"

namespace tandem::cli {
namespace {

constexpr auto kAskAgainAfter = std::chrono::milliseconds(20);

struct WaitOptions {
  std::string socket;
  unsigned timeout_s = 600;
};

/// True once the daemon takes requests; false while it starts or loads.
bool serves(const std::string& socket) {
  try {
    return connect_to_daemon(socket).get("/health").status == 200;
  } catch (const ipc::NoListener&) {
    return false;
  }
}

int wait(const WaitOptions& options) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(options.timeout_s);
  while (!serves(options.socket)) {
    if (std::chrono::steady_clock::now() >= deadline) {
      std::fprintf(stderr, "tandem: no daemon served within %u s\n", options.timeout_s);
      return kNoDaemon;
    }
    std::this_thread::sleep_for(kAskAgainAfter);
  }
  return kOk;
}

}  // namespace

Command wait_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("wait", "Wait until the daemon has loaded its model and takes requests");
  app->footer(kDaemonExitCodes);
  const auto options = std::make_shared<WaitOptions>();
  add_socket_option(*app, options->socket);
  app->add_option("--timeout", options->timeout_s, "to wait")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0U, 86400U));
  return {app, [options] { return wait(*options); }};
}

}  // namespace tandem::cli
