#include "cli/waiting.h"

#include <iostream>
#include <poll.h>
#include <utility>

#include "cli/daemon.h"

namespace tandem::cli {
namespace {

constexpr int kLoadPollMs = 200;

}  // namespace

void StatusLine::show(const std::string& text) {
  if (!terminal_) return;
  std::cerr << "\r\033[K" << text << std::flush;
  shown_ = true;
}

void StatusLine::clear() {
  if (std::exchange(shown_, false)) std::cerr << "\r\033[K" << std::flush;
}

void wait_until_loaded(ipc::Client& client, StatusLine& status) {
  while (!CtrlC::pressed()) {
    const ipc::Json health = health_of(client);
    if (health.value("status", "") != "loading") return;
    const auto percent = static_cast<int>(health.value("load_progress", 0.0) * 100.0);
    status.show("the daemon loads its model: " + std::to_string(percent) + "%");
    ::poll(nullptr, 0, kLoadPollMs);  // Ctrl-C ends it
  }
}

}  // namespace tandem::cli
