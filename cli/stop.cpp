#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <memory>
#include <poll.h>
#include <string>
extern "C" {  // glibc 2.36 forgot to say so in this header
#include <sys/pidfd.h>
}
#include <system_error>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "ipc/service.h"
#include "ipc/unix_socket.h"
#include "model/error.h"

namespace tandem::cli {
namespace {

struct StopOptions {
  std::string socket;
  unsigned timeout_s = 60;
  bool json = false;
};

[[noreturn]] void refuse(const std::string& message) {
  throw ipc::RequestError(500, "server_error", message);
}

/// A handle on the process at the other end of the connection: its number may not be used again meanwhile.
ipc::Fd open_daemon(const ipc::Client& client, pid_t& pid) {
  pid = client.daemon().pid;
  if (pid <= 1) refuse("the socket was made by the system; stop the daemon with systemctl");
  ipc::Fd process(::pidfd_open(pid, 0));
  if (process) return process;
  refuse("cannot reach process " + std::to_string(pid) + ": " + std::generic_category().message(errno));
}

void terminate(const ipc::Fd& process, pid_t pid) {
  if (::pidfd_send_signal(process.get(), SIGTERM, nullptr, 0) == 0 || errno == ESRCH) return;
  refuse("cannot stop process " + std::to_string(pid) + ": " + std::generic_category().message(errno));
}

/// True once the process has ended.
bool wait_for_end(const ipc::Fd& process, std::chrono::seconds limit) {
  pollfd entry{process.get(), POLLIN, 0};
  const auto ms = std::chrono::milliseconds(limit).count();
  return ::poll(&entry, 1, static_cast<int>(ms)) > 0;
}

/// Whether a process does nothing until SIGCONT.
bool is_stopped(pid_t pid) {
  std::string line;
  std::ifstream stat("/proc/" + std::to_string(pid) + "/stat");
  std::getline(stat, line);
  const auto name_end = line.rfind(") ");  // the name may hold anything
  if (name_end == std::string::npos) return false;
  const char state = line.at(name_end + 2);
  return state == 'T' || state == 't';
}

int run(const StopOptions& options) {
  pid_t pid = 0;
  ipc::Fd process;
  {
    const ipc::Client client = connect_to_daemon(options.socket);
    process = open_daemon(client, pid);
  }
  const auto start = std::chrono::steady_clock::now();
  terminate(process, pid);
  if (!wait_for_end(process, std::chrono::seconds(options.timeout_s))) {
    if (is_stopped(pid)) {
      refuse("process " + std::to_string(pid) +
             " is stopped, by SIGSTOP or a debugger; it ends once it goes on: kill -CONT " +
             std::to_string(pid));
    }
    refuse("process " + std::to_string(pid) + " still finishes its requests after " +
           std::to_string(options.timeout_s) + " s; it ends when they do");
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  const char* format = options.json ? "{\"pid\":%d,\"stopped\":true,\"after_s\":%.3f}\n"
                                    : "stopped the daemon (pid %d) after %.1f s\n";
  std::printf(format, pid, took.count());
  return kOk;
}

}  // namespace

Command stop_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("stop", "Have the daemon finish its requests and end");
  app->footer(kDaemonExitCodes);
  const auto options = std::make_shared<StopOptions>();
  add_socket_option(*app, options->socket);
  app->add_option("--timeout", options->timeout_s, "how long to wait for its end")
      ->type_name("SECONDS")
      ->check(CLI::Range(0, 86'400))
      ->capture_default_str();
  app->add_flag("--json", options->json, "print what happened as JSON");
  return {app, [options] { return run(*options); }};
}

}  // namespace tandem::cli
