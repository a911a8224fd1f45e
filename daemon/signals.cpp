#include "daemon/signals.h"

#include <csignal>
#include <pthread.h>
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

}  // namespace

Signals::Signals(std::function<void(int count)> on_signal) : on_signal_(std::move(on_signal)) {
  const auto set = ending_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
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
  pthread_kill(thread_.native_handle(), SIGTERM);
  thread_.join();
}

}  // namespace tandem::daemon
