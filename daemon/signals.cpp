#include "daemon/signals.h"

#include <csignal>
#include <pthread.h>
#include <string_view>
#include <unistd.h>
#include <utility>

namespace tandem::daemon {

namespace {

/// SIGHUP, which a closing terminal sends, is none where whoever started the process ignores it, as nohup
/// does.
sigset_t ending_signals() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  struct sigaction hangup {};
  if (::sigaction(SIGHUP, nullptr, &hangup) == 0 && hangup.sa_handler != SIG_IGN) sigaddset(&set, SIGHUP);
  return set;
}

void tell_of_bus_error(int) {
  constexpr std::string_view kText =
      "tandemd: a file in use was cut short (SIGBUS), most likely the model's; "
      "put a new one in its place with mv, never write into it\n";
  static_cast<void>(!::write(STDERR_FILENO, kText.data(), kText.size()));
}

}  // namespace

void explain_bus_errors() noexcept {
  struct sigaction action {};
  action.sa_handler = tell_of_bus_error;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // the access is tried again, and ends the process
  ::sigaction(SIGBUS, &action, nullptr);
}

Signals::Signals(std::function<void(int count)> on_signal) : on_signal_(std::move(on_signal)) {
  const auto set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  // Writing fails instead: to a client that left, and to a log that may not grow (RLIMIT_FSIZE).
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  thread_ = std::thread([this, set] {
    for (int count = 1;; ++count) {
      int signal = 0;
      sigwait(&set, &signal);
      if (ending_) return;
      on_signal_(count);
    }
  });
}

Signals::~Signals() {
  ending_ = true;
  // NOLINTNEXTLINE(bugprone-bad-signal-to-kill-thread): it waits for this signal, which ends nothing
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

}  // namespace tandem::daemon
