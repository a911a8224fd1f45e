#include <algorithm>
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
/// In which a daemon that serves answers, also where nobody wants to wait for one.
constexpr std::chrono::milliseconds kLeastTime{1000};

struct WaitOptions {
  std::string socket;
  unsigned timeout_s = 600;
};

using Clock = std::chrono::steady_clock;

/// True once the daemon takes requests; false while it starts or loads, or does not answer in time.
bool serves(const std::string& socket, Clock::time_point deadline) {
  try {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    auto client = connect_to_daemon(socket, std::max(left, kLeastTime));
    return client.get("/health").status == 200;
  } catch (const ipc::NoListener&) {
    return false;
  } catch (const ipc::NoAnswer&) {
    return false;
  }
}

int wait(const WaitOptions& options) {
  const auto deadline = Clock::now() + std::chrono::seconds(options.timeout_s);
  while (!serves(options.socket, deadline)) {
    if (Clock::now() >= deadline) {
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
  app->add_option("--timeout", options->timeout_s, "how long to wait")
      ->type_name("SECONDS")
      ->capture_default_str()
      ->check(CLI::Range(0U, 86400U));
  return {app, [options] { return wait(*options); }};
}

}  // namespace tandem::cli
